"""The app with an engine that acts, in folders of its own. Coroutines are tests, too."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tui_support import ENGINE

from automlgpt_local.client import children
from automlgpt_local.client import session as session_module


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(autouse=True)
def own_dirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOMLGPT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("AUTOMLGPT_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("AUTOMLGPT_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("a,target\n" + "".join(f"{i},{'Yes' if i % 3 else 'No'}\n" for i in range(60)))
    monkeypatch.setattr(session_module, "ENGINE_COMMAND", ENGINE)
    fake = Path(__file__).with_name("fake_preview.py")
    monkeypatch.setattr(children, "PREVIEW_COMMAND", [sys.executable, str(fake)])
    return tmp_path


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def choose(*flags: str) -> None:
        monkeypatch.setattr(session_module, "ENGINE_COMMAND", [*ENGINE, *flags])

    return choose
