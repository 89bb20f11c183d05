"""`automlgpt serve`: who may come in, what is sent, and a run started from a browser."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from tui_support import ENGINE

from automlgpt_local import client as runs
from automlgpt_local.tui import serve
from automlgpt_local.tui.serve import LoopbackServer

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ACTED_APP = (
    "import sys\nfrom automlgpt_local.client import session, children\n"
    f"session.ENGINE_COMMAND = {ENGINE!r}\n"
    f"children.PREVIEW_COMMAND = {[sys.executable, str(Path(__file__).with_name('fake_preview.py'))]!r}\n"
    "from automlgpt_local.tui.guard import die_with_parent\ndie_with_parent()\n"
    "from automlgpt_local.tui.app import run_app\nsys.exit(run_app())"
)


@asynccontextmanager
async def serving(command: list[str] | None = None) -> AsyncIterator[tuple[LoopbackServer, TestClient[Any, Any]]]:
    server = LoopbackServer(0, command or [sys.executable, "-P", "-c", ACTED_APP])
    local = TestServer(await server._make_app(), host="127.0.0.1")
    async with TestClient(local) as http:
        server.port = local.port or 0
        yield server, http


async def eventually(true: Callable[[], object], seconds: float = 60.0) -> None:
    for _ in range(int(seconds / 0.1)):
        if true():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"still not true after {seconds} s")


def own(server: LoopbackServer) -> dict[str, str]:
    return {"Origin": f"http://127.0.0.1:{server.port}"}


async def test_only_the_whole_address_answers() -> None:
    async with serving() as (server, http):
        page = await http.get(f"/{server.token}/")
        assert page.status == 200 and "textual-terminal" in await page.text()
        for path in ("/", "/ws", "/static/js/textual.js", f"/{server.token[:-1]}/", "/wrong/ws", "/wrong/static/"):
            assert (await http.get(path, headers=own(server))).status == 404, path
        for path in ("download/x", "static/", "static/../app_service.py", "page/", "page/../serve.py"):
            assert (await http.get(f"/{server.token}/{path}")).status in (403, 404), path
    assert len(server.token) >= 40 and server.token != LoopbackServer(0).token


async def test_other_sites_and_other_names_are_refused() -> None:
    async with serving() as (server, http):
        address = f"/{server.token}/"
        for headers in ({"Host": "evil.example"}, {"Host": f"evil.example:{server.port}"}, {"Host": "127.0.0.1:1"}):
            assert (await http.get(address, headers=headers)).status == 403, headers
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1", f"https://127.0.0.1:{server.port}"):
            assert (await http.get(address, headers={"Origin": origin})).status == 403, origin
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await http.ws_connect(address + "ws", headers={"Origin": origin})
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await http.ws_connect(address + "ws")
        assert (await http.get(address, headers={"Host": f"localhost:{server.port}"})).status == 200


async def test_pages_load_nothing_from_elsewhere() -> None:
    async with serving() as (server, http):
        page = await http.get(f"/{server.token}/")
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy
        assert "http" not in policy.replace(f"ws://127.0.0.1:{server.port}", "")
        assert page.headers["Referrer-Policy"] == "no-referrer" and page.headers["X-Frame-Options"] == "DENY"
        text = await page.text()
        assert "//" not in text.replace(f"ws://127.0.0.1:{server.port}/", "")
        for path in ("static/js/textual.js", "static/css/xterm.css", "page/page.css", "page/page.js"):
            assert path in text, path
            assert (await http.get(f"/{server.token}/{path}")).status == 200


async def drawn(socket: aiohttp.ClientWebSocketResponse, mark: bytes) -> bytes:
    """What the app draws, up to `mark`."""
    seen = b""
    while mark not in seen:
        message = await socket.receive(timeout=60)
        assert message.type == aiohttp.WSMsgType.BINARY, message
        seen += message.data
    return seen


async def test_an_app_per_page_keys_in_screen_out_and_gone_with_the_page() -> None:
    async with serving() as (server, http):
        async with http.ws_connect(f"/{server.token}/ws?width=160&height=48", headers=own(server)) as socket:
            await drawn(socket, b"AutoML-GPT")
            for junk in ("", "{}", "[]", "3", '["stdin"]', '["stdin", 3]', '["resize", {"width": "x"}]', '["quit"]'):
                await socket.send_str(junk)
            await socket.send_json(["resize", {"width": 10**9, "height": -1}])
            await socket.send_json(["resize", {"width": 160, "height": 48}])
            await socket.send_json(["stdin", "Ж"])
            await drawn(socket, "Ж".encode())
            app = next(iter(server._apps))
            pid = app._process.pid  # type: ignore[union-attr]
            assert Path(f"/proc/{pid}").exists()
        await eventually(lambda: not server._apps and not Path(f"/proc/{pid}").exists())


async def test_pages_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "MOST_APPS", 1)
    monkeypatch.setattr(serve, "PATIENCE_S", 0.1)
    async with serving(["sleep", "60"]) as (server, http):
        address = f"/{server.token}/ws"
        async with http.ws_connect(address, headers=own(server)):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                await http.ws_connect(address, headers=own(server))


async def test_files_and_links_are_not_passed_on() -> None:
    said: list[str] = []

    async def hear(text: Any = None) -> None:
        said.append(str(text))

    app = serve.LocalApp("x", write_bytes=hear, write_str=hear, close=hear, download_manager=None)  # type: ignore[arg-type]
    await app.on_meta(b'{"type": "open_url", "url": "exit", "new_tab": true}')
    await app.on_meta(b'{"type": "deliver_file_start", "key": "k", "path": "/etc/passwd"}')
    await app.on_packed(b"anything")
    assert said == []
    await app.on_meta(b'{"type": "exit"}')
    assert said == ["None"]


class Browser:
    """Headless Chromium by its own protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.asked_for: list[str] = []
        self.complaints: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = json.loads((await self._socket.receive(timeout=60)).data)
            if message.get("method") == "Network.requestWillBeSent":
                self.asked_for.append(message["params"]["request"]["url"])
            elif message.get("method") == "Network.webSocketCreated":
                self.asked_for.append(message["params"]["url"])
            elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.complaints.append(message["params"]["entry"]["text"])
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    async def type(self, text: str) -> None:
        for letter in text:
            await self.call("Input.dispatchKeyEvent", type="char", text=letter)

    async def value(self, expression: str) -> Any:
        return (await self.call("Runtime.evaluate", expression=expression))["result"].get("value")


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Browser]:
    assert CHROMIUM is not None
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
             "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
             "--window-size=1440,900", f"--user-data-dir={folder}")  # fmt: skip
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(CHROMIUM, *flags, "about:blank", stdout=quiet, stderr=quiet)
    try:
        active = folder / "DevToolsActivePort"
        await eventually(lambda: active.exists() and active.read_text().count("\n") >= 1)
        port = active.read_text().splitlines()[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                page = next(p for p in await answer.json() if p["type"] == "page")
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Browser(socket)
    finally:
        process.kill()
        await process.wait()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
async def test_a_run_from_a_browser(own_dirs: Path, tmp_path: Path) -> None:
    async with serving() as (server, _), chromium(tmp_path / "profile") as browser:
        for domain in ("Page", "Network", "Log", "Runtime"):
            await browser.call(f"{domain}.enable")
        await browser.call("Page.navigate", url=server.url)
        for _ in range(300):
            if "-first-byte" in str(await browser.value("document.body.className")):
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)
        await browser.value("document.querySelector('.xterm-helper-textarea').focus()")
        await browser.type("data.csv\r")
        await asyncio.sleep(1.5)
        await browser.type("\x13")  # ctrl+s

        def ended() -> bool:
            return any(run.state == "done" for run in runs.list_runs())

        await eventually(ended)
        await asyncio.sleep(1.0)
        if keep := os.environ.get("AUTOMLGPT_TEST_SHOT"):
            Path(keep).write_bytes(base64.b64decode((await browser.call("Page.captureScreenshot"))["data"]))
        places = (f"http://127.0.0.1:{server.port}/{server.token}/", f"ws://127.0.0.1:{server.port}/{server.token}/")
        outside = [u for u in browser.asked_for if not u.startswith((*places, "about:", "data:", "blob:"))]
        assert len(browser.asked_for) >= 5
        assert [u for u in outside if not u.endswith("/favicon.ico")] == []
        assert [c for c in browser.complaints if "favicon" not in c and "404" not in c] == []
