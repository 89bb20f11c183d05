"""What all stages of the loop share: asking for decisions, writing modules, running attempts, minding the clock."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from automlgpt_local.agents.advisor import Advisor, Answer, Situation
from automlgpt_local.agents.assemble import fingerprint
from automlgpt_local.agents.journal import Journal
from automlgpt_local.agents.rules import RuleAdvisor
from automlgpt_local.data.profile import Profile
from automlgpt_local.durable import write_durably
from automlgpt_local.errors import BackendError, ModelError
from automlgpt_local.events import (
    Agent,
    Approved,
    AttemptFinished,
    Author,
    Budget,
    CodeWritten,
    Decided,
    Gated,
    Noted,
    StageStarted,
    TaskChanged,
    TookOver,
    Warned,
)
from automlgpt_local.llm.backend import Backend
from automlgpt_local.recipes import Recipe
from automlgpt_local.search.blend import Blender
from automlgpt_local.search.control import Control
from automlgpt_local.search.evaluate import Attempt, Evaluation, Evaluator
from automlgpt_local.search.gate import compare
from automlgpt_local.search.recorder import Recorder, StopSearchError
from automlgpt_local.task import TaskSpec

# Of the time limit: more than this the model may not think, and then the recipes decide.
MODEL_SHARE = 0.25
MAX_FAILURES = 3  # of the model in a row; afterwards it is not asked any more
SAFE_SHARE = 0.35  # of the room, for one attempt
REFIT_FOLDS = 1.5  # a fit on all rows takes this many times the seconds of a fold
LEAST_OF_A_SECOND = 0.4  # of its expected seconds, that a boosted recipe must get when there is another boosted model
MANY = 6  # a recipe's first try may take one such part of the room, or as long as the best model so far took
FIXED_WORK_S = 3600.0  # seconds of an attempt when the work is fixed (`--trials`) and the clock must not decide


@dataclass(frozen=True)
class Draft:
    """A module that is about to become an attempt."""

    source: str
    recipe: str
    title: str
    by: Author
    params: dict[str, Any]
    columns: dict[str, list[str]]
    parent: int | None = None
    chosen_tokens: int = 0
    probabilities: dict[str, float] = field(default_factory=dict)


@dataclass
class Workbench:
    task: TaskSpec
    profile: Profile
    recipes: dict[str, Recipe]  # those that fit the task's kind; the task may allow some of them alone
    advisor: Advisor
    evaluator: Evaluator
    recorder: Recorder
    control: Control
    blender: Blender
    backend: Backend | None  # of the advisor, where it has one
    rules: RuleAdvisor = field(default_factory=RuleAdvisor)
    stage: str = ""
    turn: int = 0
    model_s: float = 0.0
    failures_in_a_row: int = 0
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.journal = Journal(self.evaluator.metric, self.task.predict_limit_ms or math.inf)
        self.clock = self.recorder.clock
        self.known_recipes = self.recipes
        self._boosted = {name for name, r in self.recipes.items() if r.boosted}
        self.recipes = self._allowed_recipes()
        self.from_attempt: int | None = None  # the user wants the search to go on from this one
        self._told_out_of_share = False
        for record in self.recorder.log.records:
            if isinstance(record.event, Decided) and record.event.by == "model":
                self.model_s += record.event.seconds

    # --- stages and time
    def start(self, stage: str) -> None:
        self.stage = stage
        self.recorder.note(StageStarted(stage))
        self.tell_budget()

    def tell_budget(self) -> None:
        if not self.recorder.replaying:
            used, limit = round(self.clock.used_s(), 2), self.clock.limit_s
            fit_s = round(self.evaluator.fit_s, 2)
            self.recorder.ambient(Budget(used, limit, round(self.model_s, 2), fit_s, self.stage))

    def room_s(self) -> float:
        """Seconds that the search may still use: what is left, less what the ending needs."""
        return self.clock.left_s() - self.blender.ending_s()

    def cost_s(self, recipe: str) -> float:
        """Expected wall seconds of an attempt on all folds: measured where it ran, else from LightGBM's or the last."""
        known = [e.seconds for e in self.journal.of_recipe(recipe) if e.ok]
        parallel = self.evaluator.parallel
        if known:
            return sum(known) / len(known) / parallel
        # Not from the baseline: its seconds are mostly those of starting a fork.
        fitted = [e.attempt.recipe for e in self.journal.pool() if e.attempt.recipe != "baseline"]
        for other in ("lightgbm", *fitted):
            # Of a boosted model there are as many copies as the time allowed: a recipe's cost is that of one.
            measured = [e.seconds / (e.copies or 1) for e in self.journal.of_recipe(other) if e.ok]
            if measured and other in self.recipes and recipe in self.recipes:
                n_classes = self.evaluator.workspace.n_classes
                ratio = self.recipes[recipe].cost_for(n_classes) / max(0.05, self.recipes[other].cost_for(n_classes))
                return measured[-1] / parallel * ratio
        return 1.0

    def fits(self, recipe: str, share: float) -> bool:
        """Has the clock room for an attempt that may take `share` of it?

        Boosting gives a usable model even when it is cut short, but beside another boosted model one that was cut
        to much less than its time is of no use. Hyper-parameters that had less time than those before them would not
        be compared with them.
        """
        cost_s = self.cost_s(recipe)
        needed = 1.0
        if not self.journal.of_recipe(recipe):
            needed = 0.2 if self.recipes[recipe].boosted else 0.8
            if self.recipes[recipe].boosted and any(e.attempt.recipe in self._boosted for e in self.journal.pool()):
                needed = LEAST_OF_A_SECOND
                if needed * cost_s > self.seconds_for(recipe, share):
                    return False
        return cost_s * needed * self._with_refit() < self.room_s()

    def _with_refit(self) -> float:
        """An attempt that wins is fitted once more, on all rows: its folds' seconds times this are what it takes."""
        return 1 + REFIT_FOLDS / max(3, len(self.evaluator.workspace.folds))

    def seconds_for(self, recipe: str, share: float) -> float:
        """What an attempt may take: its share of the room, or what it is known to need, if there is room for that."""
        if self.task.trials is not None:
            return FIXED_WORK_S
        room, best = self.room_s(), self.journal.best()
        if self.journal.of_recipe(recipe):
            return max(2.0, room * share, min(1.3 * self.cost_s(recipe), room / self._with_refit()))
        if best is not None and best.attempt.recipe != "baseline":
            share = min(share, max(1 / MANY, best.seconds / self.evaluator.parallel / max(room, 1.0)))
        return max(2.0, room * share)

    # --- what the user changes
    def take_changes(self) -> bool:
        """Carry out what the user changed since the last step; waits here while paused. True when something did."""
        changed = self.recorder.take(TaskChanged)
        for event in changed:
            self._change(event)
        if not self.recorder.replaying:
            self.control.check()
            changed += self._change_live(self.control.changes())
        return bool(changed)

    def last_changes(self) -> None:
        """Those that came in while the search ended."""
        for event in self.recorder.take(TaskChanged):
            self._change(event)
        late = self.control.end()
        if not self.recorder.replaying:
            self._change_live(late)

    def _change_live(self, asked: list[TaskChanged]) -> list[TaskChanged]:
        for event in asked:
            self._change(event)
            best = self.journal.best()
            number = None if best is None else best.attempt.number
            self.recorder.note(replace(event, left_out=sorted(self.journal.left_out), best=number))
            self.blender.weights = {}
            self.blender.history.clear()
            self.blender.update(self.journal.pool())
        return asked

    def _change(self, event: TaskChanged) -> None:
        self.task, self.from_attempt = TaskSpec.from_json(event.task), event.attempt
        self.recipes, self.blender.ensemble = self._allowed_recipes(), self.task.ensemble
        self.journal.left_out = {
            e.attempt.number for e in self.journal.evaluations if not self._counts(e.attempt.recipe)
        }

    def _allowed_recipes(self) -> dict[str, Recipe]:
        return {name: r for name, r in self.known_recipes.items() if self.task.allows(r.family)}

    def _counts(self, recipe: str) -> bool:
        """May the final model have an attempt of this recipe? A module of the Coder's own is of no known family."""
        return recipe in self.recipes or (recipe not in self.known_recipes and not self.task.only)

    # --- decisions
    def situation(self) -> Situation:
        turn_s = MODEL_SHARE * self.clock.limit_s - self.model_s
        if self.task.trials is None:
            turn_s = min(turn_s, self.room_s())
        return Situation(
            self.task, self.profile, self.journal, self.clock.left_s(), max(0.5, turn_s), self.turn,
            tuple(self.notes),
        )  # fmt: skip

    def model_may_speak(self) -> bool:
        if self.advisor.by == "recipes" or self.failures_in_a_row >= MAX_FAILURES:
            return False
        if self.model_s < MODEL_SHARE * self.clock.limit_s:
            return True
        if not self._told_out_of_share:
            self._told_out_of_share = True
            self._took_over(f"the model has used its share of the time ({self.model_s:.0f} s)")
        return False

    def ask(self, put: Callable[[Advisor], Answer], check: Callable[[dict[str, Any]], object] = bool) -> Answer:
        """The advisor's answer, or the rules' where it fails. `check` raises ValueError for an impossible answer."""
        if self.model_may_speak():
            started = time.monotonic()
            try:
                answer = put(self.advisor)
                if answer.trimmed:
                    self.recorder.ambient(Warned(answer.trimmed))
                check(answer.values)
                self.failures_in_a_row = 0
                return answer
            except (BackendError, ModelError, ValueError, KeyError) as problem:
                if self.control.interrupted():
                    self.control.check()  # raises: a turn that the user's stop cut short is no failure
                self.failures_in_a_row += 1
                self._took_over(str(problem) or type(problem).__name__)
                if self.failures_in_a_row >= MAX_FAILURES and self.backend is not None:
                    self.backend.close()
            finally:
                if self.advisor.by == "model":
                    self.model_s += time.monotonic() - started
        return put(self.rules)

    def decide(
        self, agent: Agent, decision: str, put: Callable[[Advisor], Answer],
        check: Callable[[dict[str, Any]], object] = bool,
    ) -> Decided:  # fmt: skip
        """One recorded decision."""
        self.turn += 1

        def make() -> Decided:
            self.control.check()
            answer = self.ask(put, check)
            return Decided(
                agent, self.stage, decision, answer.values, answer.by, answer.thought, answer.forced_tokens,
                answer.chosen_tokens, answer.evaluated_tokens, answer.probabilities, answer.seconds, list(answer.about),
            )  # fmt: skip

        return self.recorder.step(Decided, make, decision=decision)

    def _took_over(self, reason: str) -> None:
        self.recorder.ambient(TookOver(self.stage, reason[:500]))

    def note(self, title: str, text: str) -> None:
        self.recorder.note(Noted(self.stage, title, text))
        self.notes.append(f"{title}: {text}")

    # --- attempts
    def attempt(
        self,
        make_draft: Callable[[], Draft],
        *,
        probe: bool = False,
        share: float = 0.4,
        against: Evaluation | None = None,
    ) -> Evaluation:
        """Write a module, run it, score it, gate it against the best so far, or against `against`.

        share: of the room, what this attempt may take at most. Raises StopSearchError when no time is left for it.
        """
        done = sum(not e.attempt.probe for e in self.journal.evaluations)
        if self.task.trials is not None and not probe and done >= self.task.trials:
            raise StopSearchError("trials", f"{done} trials are done")
        written = self.recorder.step(CodeWritten, lambda: self._write(make_draft, probe))
        allowed = self._allowed(written)
        source = self.evaluator.solution_path(written.attempt).read_text(encoding="utf-8")
        self.journal.sources[written.attempt] = source
        self.journal.prints.setdefault(fingerprint(source) + repr(written.params), written.attempt)
        attempt = Attempt(
            written.attempt, written.stage, written.recipe, written.title, written.params, written.columns,
            written.parent, written.probe,
        )  # fmt: skip
        best = self.journal.best()
        if best is not None and not self.blender.weights and not self.recorder.ahead(AttemptFinished):
            self.blender.update(self.journal.pool())  # resumed: what the ending needs was not worked out yet
        seconds = self.seconds_for(attempt.recipe, share)
        if allowed:
            evaluation = self.evaluator.evaluate(attempt, seconds, None if probe else self._rival(attempt, best))
        else:
            evaluation = self.evaluator.rejected(attempt)
        self.journal.add(evaluation)
        if not self._counts(attempt.recipe):
            self.journal.left_out.add(attempt.number)
        if evaluation.ok:
            self._gate(evaluation, against or (None if probe else best))
            if not probe and not self.recorder.replaying:
                self.blender.update(self.journal.pool())
        elif evaluation.status == "pruned" and not probe:
            self.blender.unmoved()
        self.tell_budget()
        return evaluation

    def _rival(self, attempt: Attempt, best: Evaluation | None) -> Evaluation | None:
        """What an attempt is given up against when its first folds are hopeless: where the user wants to go on from."""
        bases = (e for e in self.journal.evaluations if e.attempt.number == attempt.parent == self.from_attempt)
        return next(bases, best)

    def _gate(self, new: Evaluation, old: Evaluation | None) -> None:
        """Is `new` better than `old` by more than noise? Recorded; without an `old` the answer is yes."""
        event = Gated(new.attempt.number, None, 0.0, 0.0, True)
        if old is not None:
            ours, theirs = new.loss_by_fold, old.loss_by_fold
            both = sorted(ours.keys() & theirs.keys())
            strictness = 0.0 if "gate" in self.task.without else 1.0
            folds_of_a_cut = self.evaluator.workspace.splits.folds_of_a_cut
            result = compare([ours[k] for k in both], [theirs[k] for k in both], strictness, folds_of_a_cut)
            noise = result.noise if math.isfinite(result.noise) else 0.0
            event = Gated(new.attempt.number, old.attempt.number, result.gain, noise, result.kept)
        if self.recorder.step(Gated, lambda: event, attempt=new.attempt.number).kept:
            self.journal.kept.add(new.attempt.number)

    def _write(self, make_draft: Callable[[], Draft], probe: bool) -> CodeWritten:
        self.control.check()
        if self.room_s() < 1.0 and (self.journal.best() is not None or self.clock.left_s() < 1.0):
            raise StopSearchError("time", f"{self.clock.used_s():.0f} s used; the rest is for the final model")
        draft = make_draft()
        number = self.journal.next_number
        path = self.evaluator.solution_path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, draft.source)
        tokens = self._tokens_of(draft.source)
        return CodeWritten(
            number, self.stage, draft.by, draft.title, draft.recipe, draft.parent, draft.params, draft.columns,
            hashlib.sha256(draft.source.encode()).hexdigest(), probe, max(0, tokens - draft.chosen_tokens),
            draft.chosen_tokens, draft.probabilities,
        )  # fmt: skip

    def _tokens_of(self, source: str) -> int:
        """For the report alone: 0 where no model speaks any more, or its process has just ended."""
        if self.backend is None or not self.model_may_speak():
            return 0
        try:
            return self.backend.count_tokens(source)
        except (BackendError, ModelError, ValueError):
            return 0

    def _allowed(self, written: CodeWritten) -> bool:
        """Ask the user, where the run was started so. Their edited module takes the place of the agents'."""
        if not self.control.asks:
            return True
        path = self.evaluator.solution_path(written.attempt)

        def make() -> Approved:
            answer = self.control.approval(written.attempt, written.title)
            if answer.answer == "edit" and answer.code:
                write_durably(path, answer.code)
            code_sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            return Approved(written.attempt, answer.answer, code_sha256)

        approved = self.recorder.step(Approved, make, attempt=written.attempt)
        if approved.answer == "always":
            self.control.asks = False
        return approved.answer != "reject"


def batches(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[i : i + size] for i in range(0, len(items), size)]
