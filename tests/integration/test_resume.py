"""A run that was killed goes on as if nothing had happened."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from sklearn.datasets import load_wine

from automlgpt_local.client import resume
from automlgpt_local.events import Finished

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stress() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stress_kill", ROOT / "scripts" / "stress_kill.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["stress_kill"] = module
    spec.loader.exec_module(module)
    return module


def test_killed_runs_end_as_the_unkilled_one(stress: ModuleType, tmp_path: Path) -> None:
    data = tmp_path / "table.csv"
    load_wine(as_frame=True).frame.to_csv(data, index=False)
    asked = stress.request(data, "random", 3)
    whole = stress.run_to_end(tmp_path / "whole", asked)
    expected = stress.steps(tmp_path / "whole")
    total = sum(1 for r in whole if r.seq)
    for events in (total // 3, total - 3):
        assert stress.check_moment(tmp_path, asked, events, expected) == ""
    # Killed when all was exported and work/ was gone, before the last event.
    log = tmp_path / "whole" / "events.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    assert not (tmp_path / "whole" / "work").exists()
    assert isinstance(list(resume(tmp_path / "whole"))[-1].event, Finished)
    assert stress.steps(tmp_path / "whole") == expected
