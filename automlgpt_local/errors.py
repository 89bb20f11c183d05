"""Every error that we raise, by who can act on it.

    AutoMLGPTError(message, hint)
    ├── UsageError            the user must change a flag, the data or the configuration   (exit 2)
    │   └── DataError         the table itself: unreadable, empty, no such column or label
    ├── NotReadyError         the machine must change: model, memory, sandbox, extra       (exit 3)
    │   ├── ModelError        a GGUF file is missing, broken, unknown or does not fit
    │   └── SandboxError      a required layer of the sandbox is missing or half applied
    ├── BudgetError           the time was spent before a first model                      (exit 4)
    ├── NoModelError          the time sufficed, yet no attempt was valid                  (exit 1)
    ├── DeniedError           the user, or a headless default, did not allow a step        (exit 5)
    ├── ResumeError           a run folder is locked, or cannot be continued               (exit 2)
    └── BackendError          one turn of a language model failed; the loop goes on without it
        ├── TurnTimeoutError  the turn did not end within its seconds
        └── WorkerDiedError   the worker process ended; the next turn starts a new one

Only the command line maps errors to exit codes (`cli/exits.py`).
"""


class AutoMLGPTError(Exception):
    """What happened and why (`message`), and what to do next (`hint`)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AutoMLGPTError):
    pass


class DataError(UsageError):
    pass


class ResumeError(UsageError):
    pass


class NotReadyError(AutoMLGPTError):
    pass


class ModelError(NotReadyError):
    pass


class SandboxError(NotReadyError):
    pass


class BudgetError(AutoMLGPTError):
    pass


class NoModelError(AutoMLGPTError):
    pass


class DeniedError(AutoMLGPTError):
    pass


class BackendError(AutoMLGPTError):
    pass


class TurnTimeoutError(BackendError):
    pass


class WorkerDiedError(BackendError):
    pass
