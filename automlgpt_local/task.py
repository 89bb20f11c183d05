"""What a person asked for (`Request`) and what a run works on (`TaskSpec`). Pure data, no data frame in sight."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

Kind = Literal["binary", "multiclass", "regression"]
Source = Literal["flag", "ask", "inferred", "default", "message"]  # message: said while the run worked

TASK_VERSION = 1
PARTS = ("gate", "second-agent")  # what `--without` can leave out of a run, to see what it is worth


@dataclass(frozen=True)
class Request:
    """The command line's flags (or the form of the TUI), nothing interpreted yet. None means: not said."""

    data: tuple[str, ...]
    target: str | None = None
    ask: str | None = None
    kind: Kind | None = None
    metric: str | None = None
    time_limit_s: float = 600.0
    trials: int | None = None
    test: str | None = None
    submission: str | None = None
    model: str = "nano"
    approve: Literal["auto", "ask"] = "auto"
    seed: int = 0
    threads: int | None = None
    memory_mib: int | None = None
    ignore: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    weight: str | None = None
    positive: str | None = None
    exact_target: bool = False
    sep: str | None = None
    sheet: str | None = None
    leaks: Literal["ask", "drop", "keep"] = "ask"
    strict: bool = False
    ensemble: bool = True
    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    predict_limit_ms: float | None = None
    sandbox: bool = True
    branched_from: str | None = None  # the run whose request was changed into this one
    looks: int = 0  # that runs before this one had at the same locked rows

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Request:
        known = {f.name for f in fields(cls)}
        kept: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known}
        return cls(**kept)


@dataclass(frozen=True)
class TaskSpec:
    """`task.json`: what will be predicted, how it is scored, and where each answer came from.

    `exact_target`: only an empty cell of the target is missing, "NA" or "None" is a class. `only` and `never` name
    recipe families. `holdout` is the share of rows locked away until the run ends. `without` names PARTS left out.
    `predict_limit_ms`: what 1,000 rows may take to predict, in milliseconds.
    """

    target: str
    kind: Kind
    metric: str
    time_limit_s: float
    ignore: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    weight: str | None = None
    positive: str | None = None
    exact_target: bool = False
    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    ensemble: bool = True
    without: tuple[str, ...] = ()
    predict_limit_ms: float | None = None
    holdout: float = 0.1
    seed: int = 0
    threads: int = 1
    memory_mib: int = 4096
    model: str = "nano"
    trials: int | None = None
    source: dict[str, Source] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def allows(self, family: str) -> bool:
        """May models of this recipe family be used?"""
        return (not self.only or family in self.only) and family not in self.never

    def to_json(self) -> dict[str, Any]:
        values = {"version": TASK_VERSION, **asdict(self)}
        values["families"] = {"only": list(values.pop("only")), "never": list(values.pop("never"))}
        values["ignore"], values["warnings"] = list(self.ignore), list(self.warnings)
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TaskSpec:
        families = values.get("families", {})
        known = {f.name for f in fields(cls)}
        kept: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known}
        return cls(**kept, only=tuple(families.get("only", ())), never=tuple(families.get("never", ())))
