"""What a container leaves to a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from automlgpt_local import machine

GIB = 2**30


def test_memory_of_cached_files_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    free_mib = machine.available_memory_mib()
    (tmp_path / "memory.max").write_text(f"{GIB}\n")
    (tmp_path / "memory.current").write_text(f"{GIB - 2**20}\n")
    assert machine.available_memory_mib() == free_mib, "without its statistics nothing is known"
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {GIB // 2}\nactive_file 9\n")
    assert machine.available_memory_mib() == min(free_mib, 513)
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.available_memory_mib() == pytest.approx(free_mib, rel=0.2)
