"""What the command line, the TUI and `import automlgpt_local` use to start an engine and read its events."""

from automlgpt_local.client.runs import RunInfo, find_run, info, list_runs, remove_run, state, stop_run, view
from automlgpt_local.client.session import Session, attach, load_request, process_started_at, resume, start
from automlgpt_local.client.view import Attempt, RunView

__all__ = [
    "Attempt", "RunInfo", "RunView", "Session", "attach", "find_run", "info", "list_runs", "load_request",
    "process_started_at", "remove_run", "resume", "start", "state", "stop_run", "view",
]  # fmt: skip
