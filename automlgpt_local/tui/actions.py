"""Every action of the app, once: keys, palette, slash commands and help are all made from this list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType

Place = Literal["app", "start", "run"]


@dataclass(frozen=True)
class Act:
    """`id` is what users name in the setting `keys`; a screen carries it out in its method `do_<last part of id>`."""

    id: str
    title: str
    help: str
    key: str = ""
    slash: str = ""
    takes: str = ""  # what the slash command is followed by
    shown: bool = False  # in the footer

    @property
    def place(self) -> Place:
        return self.id.split(".")[0]  # type: ignore[return-value]

    @property
    def method(self) -> str:
        return "do_" + self.id.split(".")[1]

    def binding(self) -> Binding:
        """A field would take alt and a letter for the letter, unless the binding comes first."""
        first = self.key.startswith("alt+")
        return Binding(self.key, f"perform('{self.id}')", self.title, show=self.shown, id=self.id, priority=first)


ACTS: tuple[Act, ...] = (
    # everywhere
    Act("app.help", "Help", "Keys, commands and how a run works", "f1", "/help", shown=True),
    Act("app.settings", "Settings", "The settings in force, and the theme", "f2", "/settings"),
    Act("app.new", "New run", "Choose a table and start a run", "ctrl+n", "/new"),
    Act("app.sessions", "Sessions", "All runs: open, search, resume, remove", "ctrl+r", "/resume", shown=True),
    Act("app.target", "Target", "Which column is predicted", "alt+t", "/target", "column"),
    Act("app.metric", "Metric", "What the models are measured by", "alt+m", "/metric", "name"),
    Act("app.models", "Models", "The models on this machine; import and check them", "ctrl+l", "/models"),
    Act("app.doctor", "Doctor", "Is this machine ready, and what would help", "f12", "/doctor"),
    Act("app.theme", "Light or dark", "Switch between the light and the dark theme", "ctrl+y", "/theme"),
    Act("app.quit", "Quit", "Leave; a run that works is stopped and can be resumed", "ctrl+q", "/quit", shown=True),
    # the first screen
    Act("start.go", "Start the run", "Start with what the form says", "ctrl+s", "/run", shown=True),
    Act("start.examples", "Examples", "Write a bundled data set and open it", "f3", "/example"),
    # a run
    Act("run.stop", "Stop", "Stop and keep the best model; a second time: end at once", "escape", "/stop", shown=True),
    Act("run.pause", "Pause", "Pause, or go on; the time of a pause is not counted", "ctrl+g", "/pause", shown=True),
    Act("run.extend", "More time", "Give the run more time", "ctrl+t", "/budget", "10m"),
    Act("run.go_on", "Resume", "Go on with this run: what is left of its time, or more", "alt+r", "/continue", "10m"),
    Act("run.undo", "Undo", "Take back the last change of the task", "ctrl+z", "/undo"),
    Act("run.branch", "Go on from", "Search on from an attempt: the one chosen in a panel, or by its number", "alt+s",
        "/branch", "attempt"),
    Act("run.again", "New run like this", "The form, filled in as for this run, with what the last answer offers",
        "alt+n", "/again"),
    Act("run.toggle", "Chat or panels", "On a narrow terminal: switch between the two", "ctrl+o", "/chat", shown=True),
    Act("run.thoughts", "Thoughts", "Show or fold the thoughts of the Reasoner", "ctrl+b", "/thoughts"),
    Act("run.plan", "Plan", "Stages and what was tried in each", "f3", "/plan"),
    Act("run.board", "Leaderboard", "Attempts, the best first", "f4", "/leaderboard"),
    Act("run.code", "Code", "The code of an attempt", "f5", "/code", "attempt"),
    Act("run.data", "Data", "The columns: kinds, missing, leaks", "f6", "/data"),
    Act("run.tree", "Tree", "Which attempt came from which, and the difference", "f7", "/tree"),
    Act("run.plot", "Plot", "Scores by attempt, and the target", "alt+p", "/plot"),
    Act("run.log", "Log", "Every event", "f8", "/log"),
    Act("run.report", "Report", "The report of the run", "f9", "/report"),
    Act("run.resources", "Resources", "Processor, memory and tokens", "alt+l", "/tokens"),
    Act("run.export", "Files", "Where the model, the code and the predictions lie", "alt+o", "/export"),
)  # fmt: skip

BY_ID = {act.id: act for act in ACTS}
BY_SLASH = {act.slash: act for act in ACTS if act.slash}


def acts_of(*places: Place) -> list[Act]:
    return [act for act in ACTS if act.place in places]


def bindings_of(place: Place) -> list[BindingType]:
    return [act.binding() for act in acts_of(place) if act.key]


def parse_slash(text: str) -> tuple[Act | None, str]:
    """`/budget 20m` as its action and "20m"; the shortest unique beginning of a name will do."""
    name, _, argument = text.strip().partition(" ")
    if name in BY_SLASH:
        return BY_SLASH[name], argument.strip()
    close = [act for slash, act in BY_SLASH.items() if slash.startswith(name)] if len(name) > 1 else []
    return (close[0] if len(close) == 1 else None), argument.strip()
