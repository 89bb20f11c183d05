"""A run as someone at a shell sees it: its events drawn, its questions asked, Ctrl+C obeyed."""

from __future__ import annotations

import json
import queue
import signal
import sys
import time
from types import FrameType
from typing import Any

import click

from automlgpt_local.cli import exits
from automlgpt_local.cli.progress import Drawing, PlainLines, make_drawing
from automlgpt_local.cli.talk import Talk
from automlgpt_local.client import RunView, Session
from automlgpt_local.client.inert import inert, inert_line
from automlgpt_local.events import ApprovalAsked, Failed, Resumed

LINGER_S = 2.0  # for an engine to end after its last event


class _Interrupts:
    """The first Ctrl+C (or TERM, or HUP) asks our engine to stop, the second kills it; that of others goes on."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.count = 0
        self.asking = False  # a question is open: its prompt ends at once, too
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1 or not self.session.stop():
            self.session.kill()
        if self.asking:
            raise click.Abort


def watch(session: Session, as_json: bool, talk: Talk | None = None) -> int:
    """Draw a session to its end; the exit code of the command. With `talk`, in plain lines, obeying those typed."""
    try:
        return _watch(session, as_json, talk)
    except BrokenPipeError:
        if session.process is None:  # that of others goes on
            raise
        return exits.INTERRUPTED


def _watch(session: Session, as_json: bool, talk: Talk | None) -> int:
    drawing = PlainLines() if talk is not None else make_drawing(as_json, session)
    seen = RunView()
    with _Interrupts(session) as interrupts, drawing:
        told = 0
        while True:
            if interrupts.count > told:
                told = interrupts.count
                if session.process is None:
                    drawing.say(f"The run goes on. To end it: automlgpt sessions stop {session.run_dir}")
                    return exits.INTERRUPTED
                drawing.say("Stopping; the best model so far is kept. Ctrl+C again ends at once.")
            if talk is not None:
                for said in talk.hear(seen):
                    drawing.say(inert(said))
            try:
                record = session.get(0.2)
            except queue.Empty:
                drawing.tick(seen)
                continue
            if record is None:
                break
            seen.apply(record)
            drawing.draw(record, seen)
            if isinstance(record.event, ApprovalAsked) and session.process and record.seq > session.recorded_seq:
                _ask(session, record.event, drawing, interrupts)
    _linger(session)
    if not as_json:
        _conclude(session, seen)
    elif isinstance(session.outcome, Failed) and not (
        interrupts.count and session.outcome.exit_code == exits.INTERRUPTED
    ):
        exits.complain(session.outcome.message, session.outcome.hint)
    return exits.INTERRUPTED if interrupts.count and session.exit_code == 0 else session.exit_code


def _linger(session: Session) -> None:
    deadline = time.monotonic() + LINGER_S
    while session.process is not None and session.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def _ask(session: Session, event: ApprovalAsked, drawing: Drawing, interrupts: _Interrupts) -> None:
    """Without a person at the keyboard, what was not allowed beforehand is denied."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        session.approve(event.attempt, "reject")
        return
    drawing.suspend()
    code = session.run_dir / "attempts" / f"{event.attempt:04d}" / "solution.py"
    click.echo(f"\n{inert(code.read_text(encoding='utf-8')) if code.is_file() else ''}", err=True)
    click.echo(f"May attempt {event.attempt} run? {inert_line(event.title)}", err=True)
    answers = {"a": "once", "A": "always", "r": "reject"}
    choice, question = click.Choice(list(answers)), "[a]llow, [A]lways in this run, [r]eject"
    try:
        interrupts.asking = True
        answer = click.prompt(question, type=choice, default="r", err=True)
    except click.Abort:  # a signal, or Ctrl+D
        answer = "r"
    finally:
        interrupts.asking = False
    if not interrupts.count:
        session.approve(event.attempt, answers[answer])
    drawing.go_on()


def _conclude(session: Session, seen: RunView) -> None:
    """The result as data on stdout: the run folder. What it is worth, and what to do with it, on stderr."""
    outcome = session.outcome
    if outcome is None or isinstance(outcome, Failed):
        if outcome is not None:
            exits.complain(outcome.message, outcome.hint)
        return
    run_dir = session.run_dir
    lines = [""]
    if outcome.score is not None:
        lines.append(f"{outcome.metric} {outcome.score:.5g} in validation" + (
            f", {outcome.holdout_score:.5g} on rows that were locked away" if outcome.holdout_score is not None else ""
        ))  # fmt: skip
    names = [(n, w) for n, w in (
        ("report.html", "the report"), ("pipeline.py", "the model as code"), ("pipeline", "the models as code"),
        ("predictions.csv", "predictions for --test"),
    ) if (run_dir / n).exists()]  # fmt: skip
    lines += [f"  {run_dir / name}  {what}" for name, what in names]
    lines.append(f"Predict: automlgpt predict {run_dir} NEW.csv -o OUT.csv")
    click.echo("\n".join(lines), err=True)
    click.echo(str(run_dir))


def wave_off(session: Session, as_json: bool) -> int:
    """Stay with a detached run until its work begins, so that a mistake is told here; then leave it alone."""
    seen = RunView()
    for record in session:
        seen.apply(record)
        if seen.stage and record.seq > session.recorded_seq and not isinstance(record.event, Resumed):
            break
    if isinstance(session.outcome, Failed):
        exits.complain(session.outcome.message, session.outcome.hint)
        return session.exit_code
    if as_json:
        click.echo(json.dumps({"id": session.run_dir.name, "path": str(session.run_dir)}))
    else:
        click.echo(f"Running on its own. Follow it: automlgpt sessions show {session.run_dir.name} --follow", err=True)
        click.echo(str(session.run_dir))
    return exits.DONE
