"""The small process between engine and broker: enters the namespaces, starts the broker, ends it with the engine.

It imports nothing heavy and does nothing but wait, so it acts at once even while the broker is busy. The broker dies
with it (PDEATHSIG), and the jobs with the broker.
"""

from __future__ import annotations

import os
import select
import signal
from typing import Any

from automlgpt_local.confine import limits, namespaces


def main(config: dict[str, Any]) -> None:
    """`config`: channel (descriptor of the socket to the runner), engine (its pid), left_out (names of layers).

    `engine` is None inside bubblewrap, which stands between and ends with the engine by itself.
    """
    parent = config["engine"] or os.getppid()
    engine = os.pidfd_open(parent)
    if os.getppid() != parent:  # it ended before we could hold on to it
        os._exit(1)
    private = "namespaces" not in config["left_out"] and namespaces.available()
    if private:
        private = namespaces.enter()
    me = os.getpid()
    broker = os.fork()
    if broker == 0:
        code = 1
        try:
            os.close(engine)
            limits.die_with_parent(0 if private else me)
            if private:
                namespaces.private_proc()
            from automlgpt_local.sandbox.broker import serve

            serve(config["channel"], private)
            code = 0
        finally:
            if code:
                import traceback

                traceback.print_exc()
            os._exit(code)
    os.close(config["channel"])
    watch = select.poll()
    end = os.pidfd_open(broker)
    watch.register(engine, select.POLLIN)
    watch.register(end, select.POLLIN)
    watch.poll()
    try:
        signal.pidfd_send_signal(end, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.waitpid(broker, 0)
    os._exit(0)
