"""AutoML-GPT Local: two agents on one local model turn a table into the best honest model, as code you own."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automlgpt_local.client.api import Result, run

__version__ = "0.1.0"
__all__ = ["Result", "__version__", "run"]


def __getattr__(name: str) -> Any:
    if name in ("run", "Result"):
        from automlgpt_local.client import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
