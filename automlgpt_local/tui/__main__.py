"""`python -m automlgpt_local.tui [PATH]`: the app itself, ending with the process that started it."""

import sys

from automlgpt_local.tui.guard import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    from automlgpt_local.tui.app import run_app

    sys.exit(run_app(*sys.argv[1:2]))
