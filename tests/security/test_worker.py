"""The process that hosts llama.cpp: reads its model, writes nothing, reaches nobody."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

CODE = """
import os, socket, sys, threading
sys.path[:] = {path!r}
from automlgpt_local.confine import apply_worker_layers
print(apply_worker_layers([{model!r}]))

def attempt(action):
    try:
        action()
        return "done"
    except OSError as error:
        return error.errno

print([
    open({model!r}).read(), attempt(lambda: open({secret!r})), attempt(lambda: open({new!r}, "w")),
    attempt(lambda: socket.socket()), attempt(lambda: os.fork()), attempt(lambda: os.execv("/bin/true", ["true"])),
    attempt(lambda: os.remove({model!r})),
])
thread = threading.Thread(target=print, args=["thread"])
thread.start()
thread.join()
"""


def test_the_worker_reads_its_model_and_nothing_else(tmp_path):
    (tmp_path / "model.gguf").write_text("weights")
    (tmp_path / "secret").write_text("secret")
    code = CODE.format(
        path=[p for p in sys.path if p] + [str(Path(__file__).parents[2])],
        model=str(tmp_path / "model.gguf"),
        secret=str(tmp_path / "secret"),
        new=str(tmp_path / "new"),
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/", env={**os.environ}
    )
    layers, effects, thread = done.stdout.splitlines()
    assert ast.literal_eval(layers) == dict.fromkeys(("landlock", "seccomp", "capabilities"), "enforced")
    assert ast.literal_eval(effects) == ["weights", 13, 13, 1, 1, 1, 13]
    assert thread == "thread"
    assert (tmp_path / "model.gguf").exists() and not (tmp_path / "new").exists()
