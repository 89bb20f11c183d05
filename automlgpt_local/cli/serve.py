"""`automlgpt serve`: the terminal app in a browser of this machine."""

from __future__ import annotations

import click


@click.command("serve", short_help="The app in a browser on this machine.")
@click.option("--port", default=8642, show_default=True, type=click.IntRange(1024, 65535), help="Of 127.0.0.1.")
def command(port: int) -> None:
    """The terminal app in a browser.

    It listens on this machine alone, its address holds a secret that is new each time, and its pages load nothing from
    elsewhere. Each page has an app of its own, which ends when the page is closed; its run can be resumed.
    """
    import importlib

    from automlgpt_local import offline

    offline.enforce()
    # By name, as in `main`: the command line and the app know of each other nowhere else.
    importlib.import_module("automlgpt_local.tui.serve").serve(port)
