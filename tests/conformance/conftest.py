"""Conformance: every test here speaks to the real llama.cpp, with models of random weights that are written first."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "unit"))

from llm_fixtures import write_adapter, write_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Context of 16,384 tokens, ChatML."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny.gguf", context=16384)


@pytest.fixture(scope="session")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("models") / "adapter.gguf")
