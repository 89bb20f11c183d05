"""Exit codes of the command line and of the engine, and which error means which."""

from __future__ import annotations

from automlgpt_local.errors import (
    AutoMLGPTError,
    BudgetError,
    DeniedError,
    NoModelError,
    NotReadyError,
    UsageError,
)

DONE, NO_MODEL, USAGE, NOT_READY, BUDGET, DENIED, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 4, 5, 70, 130

_CODES: tuple[tuple[type[AutoMLGPTError], int], ...] = (
    (UsageError, USAGE),
    (NotReadyError, NOT_READY),
    (BudgetError, BUDGET),
    (NoModelError, NO_MODEL),
    (DeniedError, DENIED),
)


def exit_code(error: AutoMLGPTError) -> int:
    return next((code for cls, code in _CODES if isinstance(error, cls)), INTERNAL)
