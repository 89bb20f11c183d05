"""A run from its request to its exported model. Every line between two recorded steps is deterministic."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automlgpt_local import __version__
from automlgpt_local.durable import write_durably
from automlgpt_local.errors import BackendError, BudgetError, DataError, DeniedError, NoModelError
from automlgpt_local.events import (
    Agent,
    Author,
    Exported,
    Finished,
    ModelStarted,
    Profiled,
    SandboxStarted,
    SessionStarted,
    SplitMade,
    Stopped,
    TaskResolved,
    Token,
    Warned,
)
from automlgpt_local.exits import DONE, INTERRUPTED
from automlgpt_local.search.control import Control
from automlgpt_local.search.recorder import Recorder, StopSearchError
from automlgpt_local.task import Request, TaskSpec

# Of the time that is left, or the least: a model that takes longer to load is given up.
LOADING_SHARE, LEAST_LOADING_S = 0.25, 5.0

if TYPE_CHECKING:
    from automlgpt_local.agents.advisor import Advisor
    from automlgpt_local.artifacts.export import Member
    from automlgpt_local.data.load import Table
    from automlgpt_local.data.profile import Profile
    from automlgpt_local.data.schema import Schema
    from automlgpt_local.llm.backend import Backend, BackendInfo
    from automlgpt_local.sandbox.runner import Sandbox
    from automlgpt_local.search.closing import Closing, FittedMember
    from automlgpt_local.search.evaluate import Evaluation
    from automlgpt_local.search.workspace import Workspace


class Session:
    def __init__(
        self,
        run_dir: Path,
        request: Request,
        recorder: Recorder,
        control: Control,
        on_token: Callable[[str, str], None],
    ) -> None:
        self.run_dir, self.request, self.recorder, self.control = run_dir, request, recorder, control
        self._on_token = on_token
        self._sandbox: Sandbox | None = None
        self._backend: Backend | None = None
        self._begun_at = time.monotonic()
        self._prepared_s = 0.0
        self._opening: list[threading.Thread] = []
        self._problem: Exception | None = None

    # --- life
    def started(self, run_id: str) -> SessionStarted:
        from automlgpt_local.agents.chat_agents import prompts_sha256

        return SessionStarted(run_id, __version__, self.request.model, prompts_sha256(), self.request.time_limit_s)

    def close(self) -> None:
        """End the child processes."""
        for part in (self._sandbox, self._backend):
            if part is not None:
                part.close()

    def run(self) -> int:
        """The whole run. Returns the exit code.

        Raises AutoMLGPTError for what the user must know, StopSearchError when they stopped it without a model.
        """
        self._open_children()
        table, task = self._resolve()
        workspace, profile, test = self._prepare(table, task)
        pool, stopped = self._search(task, workspace, profile)
        return self._finish(test, self.task, workspace, profile, pool, stopped)

    def _open_children(self) -> None:
        """The sandbox's broker and the model load while the table is read."""

        def open_sandbox() -> None:
            from automlgpt_local.machine import available_memory_mib, available_threads
            from automlgpt_local.sandbox.runner import Sandbox

            threads = self.request.threads or available_threads()
            memory_mib = self.request.memory_mib or available_memory_mib() // 2
            self._sandbox = Sandbox(threads, memory_mib, unsafe=not self.request.sandbox)
            self._sandbox.start()

        def open_model() -> None:
            from automlgpt_local.llm.open import open_backend
            from automlgpt_local.machine import available_threads

            threads = self.request.threads or available_threads()
            self._backend = open_backend(self.request.model, threads, self.request.seed)
            if self._backend is not None:
                threading.Thread(target=self._end_when_stopped, args=(self._backend,), daemon=True).start()

        for opener in (open_sandbox, open_model):
            thread = threading.Thread(target=self._guarded, args=(opener,), daemon=True)
            thread.start()
            self._opening.append(thread)

    def _end_when_stopped(self, backend: Backend) -> None:
        """A stop ends the turn, or the loading, that is under way: the search asks nothing more."""
        self.control.stop_requested.wait()
        backend.close()

    def _guarded(self, opener: Callable[[], None]) -> None:
        try:
            opener()
        except Exception as error:
            self._problem = error

    def _children(self) -> tuple[Sandbox, Backend | None]:
        for thread in self._opening:
            thread.join()
        if self._problem is not None:
            raise self._problem
        assert self._sandbox is not None
        return self._sandbox, self._backend

    def _loaded(self, backend: Backend, task: TaskSpec) -> BackendInfo | None:
        """What the agents' model says of itself once it is loaded; None where it is not in time, or was stopped."""
        told: list[BackendInfo | Exception] = []

        def look() -> None:
            try:
                told.append(backend.info)
            except Exception as error:
                told.append(error)

        patience_s = max(LEAST_LOADING_S, LOADING_SHARE * self.recorder.clock.left_s())
        loading = threading.Thread(target=look, daemon=True)
        loading.start()
        loading.join(patience_s if task.trials is None else None)
        if loading.is_alive():
            problem = f"The model was not loaded within {patience_s:.0f} s of the time limit; the recipes decide."
            self.recorder.ambient(Warned(problem))
            backend.close()
            return None
        if self.control.interrupted():
            return None
        if isinstance(told[0], Exception):
            raise told[0]
        return told[0]

    # --- what is asked, what the data are
    def _resolve(self) -> tuple[Table, TaskSpec]:
        from automlgpt_local.data.load import load
        from automlgpt_local.language.resolve import resolve

        request = self.request
        table = load(request.data, target=request.target, sep=request.sep, sheet=request.sheet)
        event = self.recorder.step(TaskResolved, lambda: TaskResolved(resolve(request, table).to_json()))
        task = TaskSpec.from_json(event.task)
        if not self.recorder.replaying and task.source.get("time_limit_s") == "ask":
            self.recorder.clock.limit_s = task.time_limit_s
        if self._first_sitting():
            for warning in task.warnings:
                self.recorder.ambient(Warned(warning))
        return table, task

    def _first_sitting(self) -> bool:
        return not any(isinstance(r.event, Profiled) for r in self.recorder.log.records)

    def _prepare(self, table: Table, task: TaskSpec) -> tuple[Workspace, Profile, Table | None]:
        """The workspace, what the data are, and the rows to predict, where there are any."""
        from dataclasses import replace

        from automlgpt_local.data.profile import Profile, profile
        from automlgpt_local.data.target import make_dataset
        from automlgpt_local.search.workspace import Workspace

        first = self._first_sitting()
        dataset = make_dataset(table, task)
        event = self.recorder.step(
            Profiled,
            lambda: Profiled(profile(dataset.features, dataset.y, classes=dataset.classes, seed=task.seed).to_json()),
        )
        found = Profile.from_json(event.profile)
        if found.leaks and self.request.leaks == "drop":
            task = replace(task, ignore=(*task.ignore, *found.leaks))
            dataset = make_dataset(table, task)
            found = replace(found, columns=[c for c in found.columns if not c.leak])
        elif found.leaks and first:
            for name, reason in found.leaks.items():
                self.recorder.ambient(
                    Warned(f"Column {name!r} may give the answer away ({reason}). To leave it out: --leaks drop.")
                )
        for name, association in found.telling_ids.items() if first else ():
            self.recorder.ambient(
                Warned(
                    f"Column {name!r} names or numbers rows and is left out, though it goes with the target"
                    f" ({association:.2f} of 1): the rows may be sorted by the answer."
                )
            )
        test = self._test_rows(dataset.schema)
        write_durably(self.run_dir / "task.json", _pretty(task.to_json()))
        write_durably(self.run_dir / "schema.json", _pretty(dataset.schema.to_json()))
        workspace = Workspace(self.run_dir, task, dataset)
        split = SplitMade(
            workspace.splits.strategy, len(workspace.splits.folds), len(workspace.development), len(workspace.holdout),
            table.fingerprint,
        )  # fmt: skip
        self.recorder.step(SplitMade, lambda: split, fingerprint=table.fingerprint)
        workspace.write()
        self.control.begin(task, list(table.schema.columns))
        return workspace, found, test

    def _test_rows(self, schema: Schema) -> Table | None:
        """Raises DataError where no search has begun; later a model without predictions is better than none."""
        from automlgpt_local.data.load import load

        # Once exported, predictions.csv is there, and work/ with the members' own predictions may be gone.
        if self.request.test is None or self.recorder.ahead(Exported):
            return None
        try:
            return load(self.request.test, schema=schema)
        except DataError as error:
            if not self.recorder.ahead(SplitMade):
                raise
            self.recorder.ambient(Warned(f"The test rows are not predicted. {error.message}"))
            return None

    # --- the search
    def _search(self, task: TaskSpec, workspace: Workspace, profile: Profile) -> tuple[list[Evaluation], Stopped]:
        from automlgpt_local.agents.loop import Loop
        from automlgpt_local.agents.workbench import Workbench
        from automlgpt_local.recipes import load as load_recipes
        from automlgpt_local.search.blend import Blender
        from automlgpt_local.search.evaluate import Evaluator
        from automlgpt_local.search.portfolio import order
        from automlgpt_local.search.tune import Tuner

        sandbox, backend = self._children()
        told = None if backend is None else self._loaded(backend, task)
        self.control.agents_read = told is not None and told.dialect != "compact"
        self.recorder.ambient(SandboxStarted(sandbox.layers))
        if told is None:
            backend = None
        else:
            self.recorder.ambient(ModelStarted(told.name, told.sha256, told.dialect, told.context_tokens))
        self._prepared_s = time.monotonic() - self._begun_at
        threading.Thread(target=_import_plotting, daemon=True).start()
        evaluator = Evaluator(workspace, sandbox, self.recorder, self.control, task.memory_mib)
        recipes = {name: r for name, r in load_recipes().items() if task.kind in r.kinds}
        clock, predict_limit_ms = self.recorder.clock, task.predict_limit_ms or math.inf
        closing_s = _closing_s(self._prepared_s, clock.limit_s)
        self.blender = Blender(evaluator, lambda: clock.limit_s, task.ensemble, closing_s, predict_limit_ms)
        evaluator.ending_s, evaluator.adds_nothing = self.blender.ending_s, self.blender.adds_nothing
        bench = Workbench(
            task, profile, recipes, self._advisor(backend, told, task), evaluator, self.recorder, self.control,
            self.blender, backend,
        )  # fmt: skip
        shares = _kind_shares(profile)
        portfolio = order(
            task.kind, task.metric, len(workspace.development), workspace.features.shape[1], workspace.n_classes,
            shares.get("category", 0.0), shares.get("text", 0.0), tuple(recipes),
        )  # fmt: skip
        stopped = Loop(bench, portfolio, Tuner(evaluator, task.seed)).run()
        pool = bench.journal.pool()
        self.task = bench.task
        write_durably(self.run_dir / "task.json", _pretty(bench.task.to_json()))
        self.evaluator = evaluator
        if not pool:
            if stopped.reason == "user":
                raise StopSearchError(stopped.reason)
            if any(e.status == "rejected" for e in bench.journal.evaluations):
                raise DeniedError(
                    "No module was allowed to run, so there is no model.", "Answer with `a`, or use --approve auto."
                )
            if bench.journal.left_out:
                raise BudgetError(
                    "No model of the kinds that you allowed during the run is ready.",
                    "Go on with `automlgpt sessions resume` and a longer --time-limit, or take the change back.",
                )
            if self.recorder.clock.left_s() < 1.0:
                raise BudgetError(
                    f"The time limit of {self.recorder.clock.limit_s:.0f} s was over before a first model was ready.",
                    "Go on with `automlgpt sessions resume` and a longer --time-limit.",
                )
            errors = "; ".join(
                sorted({e.error.strip().splitlines()[-1] for e in bench.journal.evaluations if e.error.strip()})
            )
            raise NoModelError(f"No attempt gave a valid model. {errors[:1000]}", "attempts/*/stdout.txt tells more.")
        return pool, stopped

    def _advisor(self, backend: Backend | None, told: BackendInfo | None, task: TaskSpec) -> Advisor:
        from automlgpt_local.agents.chat_agents import ChatAgents
        from automlgpt_local.agents.fill_in import FillInAgents
        from automlgpt_local.agents.rules import RuleAdvisor

        if backend is None or told is None:
            return RuleAdvisor()
        one_agent = "second-agent" in task.without
        if told.dialect == "compact":
            author: Author = "random" if self.request.model == "random" else "model"
            return FillInAgents(backend, author, task.seed, one_agent=one_agent)
        return ChatAgents(backend, self.request.ask or "", task.seed, self._token, one_agent, self.control.words)

    def _token(self, agent: Agent, text: str) -> None:
        if self.control.interrupted():
            raise BackendError("the run was stopped")
        token = Token(agent, text)
        self._on_token(token.agent, token.text)

    # --- the ending
    def _finish(
        self,
        test: Table | None,
        task: TaskSpec,
        workspace: Workspace,
        profile: Profile,
        pool: list[Evaluation],
        stopped: Stopped,
    ) -> int:
        from automlgpt_local.artifacts.report import warm_up
        from automlgpt_local.events import StageStarted
        from automlgpt_local.sandbox.results import remove
        from automlgpt_local.search.closing import Closing
        from automlgpt_local.search.importance import explain

        recorder = self.recorder
        closing = Closing(self.evaluator, recorder, self.control, self.blender, pool, self.request.looks)
        recorder.note(StageStarted("ensemble"))
        chosen = closing.choose()
        if task.predict_limit_ms is not None and pool[0].predict_ms > task.predict_limit_ms:
            told = f"{pool[0].predict_ms:.3g} ms for 1,000 rows"
            recorder.ambient(Warned(f"No model predicts as fast as was asked for; the fastest is kept ({told})."))
        rule = closing.decision()
        recorder.note(StageStarted("holdout"))
        holdout = closing.score_holdout(chosen, rule)
        recorder.note(StageStarted("refit"))
        threading.Thread(target=warm_up, daemon=True).start()  # while the forks fit
        members = closing.refit(None if test is None else test.frame[list(workspace.features.columns)])
        if not members:
            raise NoModelError(
                "No member could be fitted on all rows in the time left.",
                "Go on with `automlgpt sessions resume` and a longer --time-limit.",
            )
        settled = closing.settle(chosen, members)
        if settled is not chosen:
            recorder.ambient(Warned("Not every member could be fitted on all rows in time; the others make the model."))
            chosen, rule = settled, closing.decision()
            holdout = closing.score_holdout(chosen, rule)
        recorder.note(StageStarted("export"))
        explain(closing, rule, profile)
        recorder.step(Exported, lambda: self._export(task, workspace, profile, members, rule, test, closing))
        code = INTERRUPTED if stopped.reason == "user" else DONE
        score = chosen.score if chosen.kept else chosen.single_score
        remove(self.run_dir / "work")
        recorder.step(
            Finished,
            lambda: Finished(
                score, holdout.score if holdout else None, task.metric, round(recorder.clock.used_s(), 2), code
            ),
        )
        return code

    def _export(
        self, task: TaskSpec, workspace: Workspace, profile: Profile, members: list[FittedMember], rule: dict[str, Any],
        test: Table | None, closing: Closing,
    ) -> Exported:  # fmt: skip
        from automlgpt_local.artifacts.export import export
        from automlgpt_local.artifacts.manifest import write_manifest
        from automlgpt_local.artifacts.plots import Evidence
        from automlgpt_local.artifacts.report import write_report
        from automlgpt_local.artifacts.submission import write_test_predictions

        id_column = next((c.name for c in profile.columns if c.kind == "id"), None)
        files = export(
            self.run_dir, task, workspace.dataset.schema, [self._member(m) for m in members],
            features=list(workspace.features.columns), classes=workspace.classes, id_column=id_column,
            decision=rule or None,
        )  # fmt: skip
        if test is not None:
            blended = sum(m.weight * m.test for m in members if m.test is not None)
            path, problem = write_test_predictions(
                self.run_dir / "predictions.csv", blended, test, classes=workspace.classes, decision=rule or None,
                id_column=id_column, sample=self.request.submission, probabilities=not workspace.metric.from_labels,
            )  # fmt: skip
            files.append(path)
            if problem:
                self.recorder.ambient(Warned(problem))
        rows = self.evaluator.validated_rows()
        Evidence(workspace.y_development[rows], closing.blender.blended(), tuple(workspace.classes), rule).save(
            self.run_dir
        )
        files += write_report(self.run_dir)
        files.append(write_manifest(self.run_dir))
        return Exported(sorted(str(p.relative_to(self.run_dir)) for p in files))

    def _member(self, fitted: FittedMember) -> Member:
        from automlgpt_local.artifacts.export import Member

        attempt = fitted.evaluation.attempt
        source = self.evaluator.solution_path(attempt.number).read_text(encoding="utf-8")
        return Member(
            attempt.number, attempt.title, source, fitted.params, fitted.ctx, fitted.model, fitted.weight,
            int(fitted.ctx["seed"]), fitted.module,
        )  # fmt: skip


def _closing_s(prepared_s: float, limit_s: float) -> float:
    """Seconds to keep for what follows the refit. On a busy machine the start took long, and so will the end."""
    from automlgpt_local.search.blend import CLOSING_WORK_S

    return max(CLOSING_WORK_S, min(prepared_s, CLOSING_WORK_S + 0.05 * limit_s))


def _import_plotting() -> None:
    """While the forks work: the report's library takes a second, and far longer when it first looks for its fonts."""
    import matplotlib.figure
    import matplotlib.font_manager  # noqa: F401


def _kind_shares(profile: Profile) -> dict[str, float]:
    """Share of each kind of column, for the portfolio's choice."""
    total = max(1, len(profile.columns))
    kinds = [c.kind for c in profile.columns]
    return {kind: kinds.count(kind) / total for kind in set(kinds)}


def _pretty(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"
