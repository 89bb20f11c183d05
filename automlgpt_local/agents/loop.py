"""The paper's four stages around the two agents: explore, process, select, tune. What ends them is the clock.

The backbone is fixed, the choices inside it are the agents'. Each choice is recorded before it is acted upon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from automlgpt_local.agents.advisor import Advisor, Answer
from automlgpt_local.agents.assemble import assemble, fingerprint
from automlgpt_local.agents.check import problems
from automlgpt_local.agents.process import PROBE_RECIPE, Process
from automlgpt_local.agents.tools import TOOLS
from automlgpt_local.agents.workbench import SAFE_SHARE, Draft, Workbench
from automlgpt_local.events import Author, CodeRejected, Decided, Stopped
from automlgpt_local.search.evaluate import Evaluation
from automlgpt_local.search.portfolio import PortfolioEntry
from automlgpt_local.search.recorder import StopSearchError
from automlgpt_local.search.tune import Tuner

MAX_REPAIRS = 2
# Tuning ends when this many attempts in a row moved the ensemble by less than a tenth of the best model's noise.
PATIENCE = 40
TRIES_IN_VAIN = 2  # of a recipe none of whose attempts is complete
LEAST_RECIPES = 5  # complete ones, before a model's wish to stop the selection counts
# Of the portfolio's next recipes: a model chooses among sound ones, and what it passed over once comes next.
OFFERED = 3


class Loop:
    def __init__(self, bench: Workbench, portfolio: Sequence[PortfolioEntry], tuner: Tuner) -> None:
        self.bench, self.tuner = bench, tuner
        self.portfolio = [entry for entry in portfolio if entry.recipe in bench.known_recipes]
        self.process = Process(bench)
        self._passed_over: set[str] = set()

    def run(self) -> Stopped:
        """All stages, until nothing is left to gain, the time is over or the user stops."""
        try:
            self.explore()
            self.process.run()
            evidence = None
            while evidence is None:
                self.select()
                evidence = self.tune()
            reason = "nothing_left_to_gain"
        except StopSearchError as stop:
            reason, evidence = stop.reason, stop.evidence
        stopped = self.bench.recorder.step(Stopped, lambda: Stopped(reason, evidence))
        self.bench.last_changes()
        return stopped

    # --- explore: the Reasoning agent looks at what it wants to see
    def explore(self) -> None:
        bench = self.bench
        done: list[str] = []
        bench.start("explore")
        while len(done) < len(TOOLS):
            choice = bench.decide("reasoner", "next_tool", lambda a: a.next_tool(bench.situation(), done))
            tool = str(choice.values.get("tool"))
            if tool not in TOOLS or tool in done:
                break
            bench.note(tool, TOOLS[tool](bench.task, bench.profile))
            done.append(tool)

    # --- select: which kinds of model fit
    def select(self) -> None:
        bench = self.bench
        bench.start("select")
        while True:
            bench.take_changes()
            untried = self._untried()
            if not untried or self._base() is not None:
                return
            decided = self._next_recipe(untried)
            choice = str(decided.values["next"])
            self._passed_over |= set(untried[: untried.index(choice)]) if choice in untried else set()
            if choice == "own":
                bench.journal.own_asked += 1
                self._own_solution()
            elif choice in bench.recipes:
                self._try(choice)
            else:
                return

    def _next_recipe(self, untried: list[str]) -> Decided:
        """Which recipe to try now; none when the clock has room for none of them."""
        bench = self.bench

        def put(advisor: Advisor) -> Answer:
            fitting = self._in_time(untried)
            if not fitting or fitting[0] in self._passed_over:
                return Answer({"next": fitting[0] if fitting else "stop"}, "recipes")
            offered = tuple(fitting[:OFFERED])
            answer = replace(advisor.next_recipe(bench.situation(), offered), about=offered)
            too_early = answer.values["next"] == "stop" and len(self._tunable()) < LEAST_RECIPES
            return replace(answer, values={"next": fitting[0]}) if too_early else answer

        return bench.decide("reasoner", "next_recipe", put)

    def _untried(self) -> list[str]:
        """The portfolio's recipes, in its order; where the user allows none of them, those that are allowed."""
        tried = {e.attempt.recipe for e in self.bench.journal.evaluations if not e.attempt.probe}
        allowed = [r for r in self.bench.recipes if r != "baseline"]
        names = dict.fromkeys(entry.recipe for entry in self.portfolio if entry.recipe in allowed)
        return [r for r in names or allowed if r not in tried]

    def _in_time(self, recipes: list[str]) -> list[str]:
        """Those that the clock has room for."""
        fixed_work = self.bench.task.trials is not None
        return [r for r in recipes if fixed_work or self.bench.fits(r, SAFE_SHARE)]

    def _try(self, recipe: str) -> Evaluation:
        """The first attempt of a recipe, with the portfolio's hyper-parameters; the Coder's turn comes in tuning."""
        params = self._variant(recipe) or {}
        return self.bench.attempt(
            lambda: self._draft(recipe, self._title(recipe, params), "recipes", params), share=SAFE_SHARE
        )

    def _title(self, recipe: str, params: dict[str, Any]) -> str:
        changed = ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in list(params.items())[:4])
        return f"{self.bench.recipes[recipe].title}{f' ({changed})' if changed else ''}"

    def _variant(self, recipe: str) -> dict[str, Any] | None:
        """The portfolio's next hyper-parameters of a recipe that were not tried yet."""
        tried = [e.attempt.params for e in self.bench.journal.of_recipe(recipe)]
        return next((e.params for e in self.portfolio if e.recipe == recipe and e.params not in tried), None)

    def _own_solution(self) -> None:
        """The Coding agent's own module, mended up to MAX_REPAIRS times with the tail of its traceback."""
        bench = self.bench
        example = bench.recipes[PROBE_RECIPE].source if PROBE_RECIPE in bench.recipes else ""
        decided = bench.decide(
            "coder", "solution", lambda a: a.solution(bench.situation(), example, self.process.features_source)
        )
        for repairs_left in range(MAX_REPAIRS, -1, -1):
            source = str(decided.values.get("source") or "")
            if not source:
                return
            error = self._refusal(source)
            if not error:
                evaluation = bench.attempt(self._own_draft(source, decided), share=SAFE_SHARE)
                if evaluation.status in ("ok", "pruned"):
                    return
                error = evaluation.error or evaluation.status
            bench.recorder.ambient(CodeRejected(bench.stage, error[-1000:], repairs_left))
            if repairs_left == 0:
                return
            decided = self._repaired(source, error)

    def _repaired(self, source: str, error: str) -> Decided:
        bench = self.bench
        return bench.decide("coder", "repair", lambda a: a.repair(bench.situation(), source, error))

    def _refusal(self, source: str) -> str:
        """Why a module may not run; empty when it may."""
        found = problems(source, [c.name for c in self.bench.profile.columns])
        if found:
            return " ".join(found)
        before = self.bench.journal.prints.get(fingerprint(source) + repr({}))
        return f"It is the same module as attempt {before}." if before else ""

    def _own_draft(self, source: str, decided: Decided) -> Callable[[], Draft]:
        number = len(self.bench.journal.own()) + 1
        return lambda: Draft(
            source, f"own_{number}", "a solution of the Coder's own", decided.by, {}, self.process.columns, None,
            decided.chosen_tokens, decided.probabilities,
        )  # fmt: skip

    # --- tune: better hyper-parameters for what is good, until the time is over
    def tune(self) -> str | None:
        """Returns the evidence that nothing is left to gain; normally the clock ends this stage.

        None: the user changed the task, and kinds of models may have to be compared anew.
        """
        bench = self.bench
        bench.start("tune")
        while True:
            if bench.take_changes():
                return None
            candidates = self._candidates()
            if not candidates:
                return "no model has hyper-parameters to tune"
            decided = self._decide_tune(candidates)
            recipe = str(decided.values["next"])
            if recipe == "stop":
                return str(decided.values.get("evidence", ""))
            self._tune_once(recipe)

    def _decide_tune(self, candidates: list[str]) -> Decided:
        return self.bench.decide("reasoner", "next_tune", lambda a: self._next_tune(a, candidates))

    def _next_tune(self, advisor: Advisor, candidates: list[str]) -> Answer:
        """The advisor's choice. Stopping needs evidence: a model's wish to stop counts once the search is calm."""
        settled = self._settled(PATIENCE)
        if settled:
            return Answer({"next": "stop", "evidence": settled}, "recipes")
        fitting = self._in_time(candidates)
        if not fitting:
            used = self.bench.clock.used_s()
            raise StopSearchError("time", f"{used:.0f} s used; another attempt and the refit would not end in time")
        answer = replace(advisor.next_tune(self.bench.situation(), fitting), about=tuple(fitting))
        if answer.values["next"] != "stop":
            return answer
        calm = self._settled(PATIENCE // 2)
        return replace(answer, values={"next": "stop", "evidence": calm} if calm else {"next": fitting[0]})

    def _candidates(self) -> list[str]:
        """Recipes worth another try: the best ones, less those whose hyper-parameters change nothing any more."""
        base = self._base()
        if base is not None:
            return [base.attempt.recipe]
        tunable = [*self._tunable(), *self._left_early()]
        return [r for r in tunable if not self._exhausted(r)][:4] or tunable[:4] or self._untried()

    def _base(self) -> Evaluation | None:
        """The attempt that the user wants to go on from, as long as its hyper-parameters change anything."""
        bench = self.bench
        for e in bench.journal.evaluations:
            if e.attempt.number == bench.from_attempt and e.attempt.recipe in bench.recipes:
                return None if self._exhausted(e.attempt.recipe) else e
        return None

    def _exhausted(self, recipe: str) -> bool:
        """Did its last two attempts only repeat scores that it had reached before, or was it left again and again?"""
        if recipe not in self._tunable():
            return len(self.bench.journal.of_recipe(recipe)) >= TRIES_IN_VAIN
        losses = [loss for _, loss in self.bench.journal.history(recipe)]
        return len(losses) > 2 and losses[-1] in losses[:-1] and losses[-2] in losses[:-2]

    def _tunable(self) -> list[str]:
        """Recipes with a complete attempt, the best first."""
        names = [row.recipe for row in self.bench.journal.board()]
        return [name for name in names if name in self.bench.recipes and name != "baseline"]

    def _left_early(self) -> list[str]:
        """Recipes none of whose attempts is complete, the most promising first."""
        journal, complete = self.bench.journal, self._tunable()
        losses = {r: [loss for _, loss in journal.history(r)] for r in self.bench.recipes if r not in complete}
        return sorted((r for r, found in losses.items() if found and r != "baseline"), key=lambda r: min(losses[r]))

    def _settled(self, patience: int) -> str:
        """The evidence that tuning gains nothing any more; empty while it may."""
        history, best = self.bench.blender.history, self.bench.journal.best()
        if best is None or best.noise is None or len(history) <= patience:
            return ""
        moved = history[-patience - 1] - min(history[-patience:])
        if moved > best.noise / 10:
            return ""
        return f"{patience} attempts moved the ensemble by {moved:.3g}; a tenth of the noise is {best.noise / 10:.3g}"

    def _tune_once(self, recipe: str) -> None:
        """A new set of hyper-parameters: the portfolio's next one, then the Coder's and Optuna's in turn."""
        bench = self.bench
        tries = len(bench.journal.of_recipe(recipe))
        variant = None if self._base() is not None else self._variant(recipe)
        if variant is not None:
            bench.attempt(
                lambda: self._draft(recipe, self._title(recipe, variant), "recipes", variant), share=SAFE_SHARE
            )
            return
        if tries % 3 == 1:
            decided = bench.decide("coder", "params", lambda a: a.params(bench.situation(), bench.recipes[recipe]))
            params = dict(decided.values)
            if params and params not in [e.attempt.params for e in bench.journal.of_recipe(recipe)]:
                title = self._title(recipe, params)
                bench.attempt(lambda: self._draft(recipe, title, decided.by, params, decided), share=SAFE_SHARE)
                return
        bench.attempt(lambda: self._optuna_draft(recipe), share=SAFE_SHARE)

    def _optuna_draft(self, recipe: str) -> Draft:
        bench = self.bench
        number = bench.journal.next_number
        tried = bench.journal.of_recipe(recipe)
        if not tried:
            return self._draft(recipe, self._title(recipe, {}), "recipes")
        path = bench.evaluator.solution_path(tried[0].attempt.number)
        history = bench.journal.history(recipe)
        params = self.tuner.suggest(recipe, path, self.process.columns, history, number) or {}
        return self._draft(recipe, self._title(recipe, params), "recipes", params)

    def _draft(
        self, recipe: str, title: str, by: Author, params: dict[str, Any] | None = None, decided: Decided | None = None
    ) -> Draft:
        """A module of the recipe with these hyper-parameters: of the user's attempt to go on from, if there is one."""
        draft, base = self.process.draft(recipe, title, by, params, decided), self._base()
        if base is None or base.attempt.recipe != recipe:
            return draft
        params = {**base.attempt.params, **draft.params}
        source = assemble(self.bench.journal.sources[base.attempt.number], "", params)
        return replace(draft, source=source, params=params, columns=base.attempt.columns, parent=base.attempt.number)
