"""Starts the engine's process. Threads of numerical libraries are bound before anything imports them."""

import os
import sys

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # the forks do the work; here a second busy thread would only steal their core

from automlgpt_local.engine.process import main  # noqa: E402

if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # the last event is written; nothing is left to tear down
