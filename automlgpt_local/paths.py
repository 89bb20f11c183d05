"""Where this package keeps things outside a run: settings, the list of runs, imported models, crash reports.

Each folder can be moved with an environment variable; nothing is created before something is written.
"""

from __future__ import annotations

import os
from pathlib import Path

APP = "automlgpt-local"


def typed_path(text: str | Path) -> Path:
    """With "~" as a home folder; as it is where that is nobody's."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def _moved(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return typed_path(value).absolute() if value else None


def state_dir() -> Path:
    """The list of runs and crash reports (`AUTOMLGPT_STATE_DIR`)."""
    if moved := _moved("AUTOMLGPT_STATE_DIR"):
        return moved
    import platformdirs

    return platformdirs.user_state_path(APP)


def user_config_file() -> Path:
    """The user's TOML (`AUTOMLGPT_CONFIG`)."""
    if moved := _moved("AUTOMLGPT_CONFIG"):
        return moved
    import platformdirs

    return platformdirs.user_config_path(APP) / "config.toml"


def project_config_file() -> Path:
    """The project's TOML: `automlgpt.toml` in the current folder."""
    return Path.cwd() / "automlgpt.toml"


def models_dir() -> Path:
    """Models that the user imported (`AUTOMLGPT_MODELS_DIR`)."""
    if moved := _moved("AUTOMLGPT_MODELS_DIR"):
        return moved
    import platformdirs

    return platformdirs.user_data_path(APP) / "models"


def bundled_models_dir() -> Path:
    """The catalogue and the embedded model: inside an installed wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "_models"
    return installed if installed.is_dir() else package.parent / "models"
