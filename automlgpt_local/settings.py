"""Settings that outlive one command: `AUTOMLGPT_*` > `automlgpt.toml` here > the user's TOML > defaults.

A flag of the command line goes before all of them. No library beyond the standard one, since every command loads this.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from automlgpt_local import paths
from automlgpt_local.errors import UsageError

_DURATION = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|)\s*")
_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}  # by the first letter
_UNITS_MIB = {"m": 1.0, "mb": 1.0, "mib": 1.0, "g": 1024.0, "gb": 1024.0, "gib": 1024.0, "t": 1024.0**2}


def parse_seconds(text: str | float) -> float:
    """`90`, `90s`, `10m`, `1.5 hours` in seconds. Raises UsageError."""
    match = _DURATION.fullmatch(str(text).lower())
    if not match or float(match[1]) <= 0:
        raise UsageError(
            f"{str(text)!r} is not a duration.", "Write seconds, or a number with s, m or h: 90, 10m, 1.5h."
        )
    return float(match[1]) * _UNITS_S[match[2][:1]]


def parse_mib(text: str | int) -> int:
    """`8g`, `512m` or a bare number of MiB. Raises UsageError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([a-z]*)\s*", str(text).lower())
    if not match or match[2] not in {"", *_UNITS_MIB} or float(match[1]) <= 0:
        raise UsageError(f"{str(text)!r} is not an amount of memory.", "Write it as 8g or 512m.")
    return max(1, round(float(match[1]) * _UNITS_MIB.get(match[2], 1.0)))


def format_seconds(seconds: float) -> str:
    """`45 s`, `3:07` or `1:02:45`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


@dataclass(frozen=True)
class Settings:
    """One field per key of the TOML. None means: the engine decides."""

    model: str = "nano"
    time_limit: str = "10m"
    threads: int | None = None
    memory: str | None = None
    approve: str = "auto"
    runs_dir: str = "runs"
    theme: str = "automlgpt-dark"
    keys: dict[str, str] = field(default_factory=dict)  # action id -> key, in the TUI
    source: dict[str, str] = field(default_factory=dict)  # key -> environment, a file's path, or default


HELP = {
    "model": "the model of both agents: a name of `automlgpt models list`, a GGUF file, none, or random",
    "time_limit": "the budget of a run when --time-limit is not given",
    "threads": "cores that a run may keep busy; left out: all that this process may use",
    "memory": "memory of the fits of a run, such as 8g; left out: what the machine has free",
    "approve": "auto, or ask: code runs only after a yes",
    "runs_dir": "where run folders are made; a relative path starts at the current folder",
    "theme": "the colours of the terminal app",
    "keys": "a table of the terminal app's actions and the keys that you want for them",
}


def _read(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}.", "Correct the file, or remove it.") from error


def _checked(key: str, value: Any, where: str) -> Any:
    """The value in the field's type. Raises UsageError with the place it came from."""
    try:
        if key == "threads":
            value = int(value)
            if value < 1:
                raise ValueError
        elif key == "keys":
            value = {str(k): str(v) for k, v in dict(value).items()}
        else:
            value = str(value)
        if key == "approve" and value not in ("auto", "ask"):
            raise ValueError
        if key == "time_limit":
            parse_seconds(value)
        if key == "memory":
            parse_mib(value)
    except (TypeError, ValueError, UsageError) as error:
        raise UsageError(f"{where}: {value!r} is no value for {key!r}.", f"{key}: {HELP[key]}.") from error
    return value


def load() -> Settings:
    """The settings in force. Raises UsageError for a file or variable that makes no sense."""
    settings, source = Settings(), dict.fromkeys(HELP, "default")
    for path in (paths.user_config_file(), paths.project_config_file()):
        for key, value in _read(path).items():
            if key not in HELP:
                raise UsageError(f"{path}: there is no setting {key!r}.", "The settings are: " + ", ".join(HELP) + ".")
            settings = replace(settings, **{key: _checked(key, value, str(path))})
            source[key] = str(path)
    for key in HELP:
        variable = f"AUTOMLGPT_{key.upper()}"
        if key != "keys" and os.environ.get(variable):
            settings = replace(settings, **{key: _checked(key, os.environ[variable], variable)})
            source[key] = variable
    return replace(settings, source=source)


def template() -> str:
    """A TOML file with every setting explained and switched off."""
    defaults = Settings()
    lines = ["# Settings of AutoML-GPT Local. Flags and AUTOMLGPT_* variables go before this file.", ""]
    for name in (f.name for f in fields(Settings) if f.name != "source"):
        value = getattr(defaults, name)
        lines.append(f"# {HELP[name]}")
        if name == "keys":
            lines += ["# [keys]", '# "app.help" = "f1"']
        else:
            example = {"threads": "2", "memory": '"8g"'}.get(name, f'"{value}"')
            lines += [f"# {name} = {example}", ""]
    return "\n".join(lines) + "\n"
