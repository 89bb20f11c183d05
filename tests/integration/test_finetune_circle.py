"""The whole circle at a reduced size, with the embedded nano and llama.cpp."""

from pathlib import Path

import pytest

pytest.importorskip("peft")

from finetune import circle

NANO = Path(__file__).parents[2] / "models" / "nano.gguf"


@pytest.mark.skipif(not NANO.exists(), reason="the nano was not built")
def test_a_house_rule_in_recorded_sessions_is_followed_afterwards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    size = circle.Size(sessions=4, trials=4, tests=6, n_rows=100, steps=60)
    found = circle.run(Path("work"), NANO, size=size)
    assert found["after"]["rule"] > found["before"]["rule"] + 0.5
    assert found["after"]["elsewhere"] > found["before"]["elsewhere"] - found["noise"] - 0.05
    assert Path(found["adapter"]).stat().st_size < 2e6
