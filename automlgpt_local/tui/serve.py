"""The app in a browser of this machine, by textual-serve: loopback only, a token in the URL, nothing to download.

Each page that connects gets an app of its own, which ends with it. Whoever knows the URL can do what the user can do,
so the token is new each time, pages of other sites are refused by their Origin, and names that were made to point here
by their Host.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import secrets
import shlex
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.server import Server, to_int

from automlgpt_local.errors import UsageError

APP_COMMAND: list[str] = [sys.executable, "-P", "-m", "automlgpt_local.tui"]
HOST = "127.0.0.1"
FRAMES_PER_S = 30
MOST_APPS = 4
PATIENCE_S = 3.0
MOST_COLUMNS, MOST_LINES = 500, 200
PAGES = Path(__file__).with_name("web")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
        "img-src 'self' data:; connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

log = logging.getLogger(__name__)


class LocalApp(AppService):
    """One app behind one page. Files and links that it may offer stay where they are."""

    async def _open_app_process(self, width: int = 80, height: int = 24) -> asyncio.subprocess.Process:
        environment = self._build_environment(width, height) | {"TEXTUAL_FPS": str(FRAMES_PER_S)}
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *shlex.split(self.command), stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )
        self._process, self._stdin = process, process.stdin
        return process

    async def on_meta(self, data: bytes) -> None:
        if json.loads(data).get("type") == "exit":
            await super().on_meta(data)

    async def on_packed(self, payload: bytes) -> None:
        """Chunks of a download: there are none."""

    async def stop(self) -> None:
        """Ask the app to end; one that does not hear is killed, and its engine ends with it."""
        with suppress(TimeoutError):
            await asyncio.wait_for(super().stop(), PATIENCE_S)
        if self._process is not None and self._process.returncode is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), PATIENCE_S)
                return
            self._process.kill()
            await self._process.wait()


class LoopbackServer(Server):
    """Serves the app below `/<token>/` on 127.0.0.1; every other path is unknown."""

    def __init__(self, port: int, command: list[str] | None = None) -> None:
        super().__init__(shlex.join(command or APP_COMMAND), host=HOST, port=port, title="AutoML-GPT Local")
        self.token = secrets.token_urlsafe(32)
        self.template = jinja2.Environment(autoescape=True).from_string((PAGES / "index.html").read_text("utf-8"))
        self._apps: set[LocalApp] = set()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a browser on this machine calls this server."""
        return f"{HOST}:{self.port}", f"localhost:{self.port}"

    def initialize_logging(self) -> None:
        """Warnings alone: lines about requests would hold the token."""
        logging.basicConfig(level=logging.WARNING)

    async def _make_app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.add_routes([
            web.get(f"/{self.token}/", self.handle_index),
            web.get(f"/{self.token}/ws", self.handle_websocket),
            web.static(f"/{self.token}/page", PAGES),
            web.static(f"/{self.token}/static", self.statics_path),
        ])  # fmt: skip
        app.on_response_prepare.append(self._add_headers)
        app.on_startup.append(self.on_startup)
        app.on_shutdown.append(self.on_shutdown)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.host not in self.hosts:
            raise web.HTTPForbidden(text="This server answers to its own name only.")
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"http://{request.host}":
            raise web.HTTPForbidden(text="Pages of other sites are refused.")
        given = request.path.split("/", 2)[1]
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode()):
            raise web.HTTPNotFound
        return await handler(request)

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        for name, value in HEADERS.items():
            response.headers[name] = value.replace("{host}", request.host if request.host in self.hosts else HOST)

    async def handle_index(self, request: web.Request) -> web.Response:  # type: ignore[override]
        text = self.template.render(
            title=self.title,
            font_size=min(40, max(8, to_int(request.query.get("fontsize", "15"), 15))),
            websocket_url=f"ws://{request.host}/{self.token}/ws",
        )
        return web.Response(text=text, content_type="text/html")

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """An app for a page of our own: a browser always names the page's Origin here."""
        if "Origin" not in request.headers:
            raise web.HTTPForbidden(text="The Origin is missing.")
        if len(self._apps) >= MOST_APPS:
            raise web.HTTPServiceUnavailable(text=f"{MOST_APPS} pages are open already.")
        websocket = web.WebSocketResponse(heartbeat=15, max_msg_size=1 << 20)
        app = LocalApp(
            self.command, write_bytes=websocket.send_bytes, write_str=websocket.send_str, close=websocket.close,  # type: ignore[arg-type]
            download_manager=self.download_manager,
        )  # fmt: skip
        self._apps.add(app)
        try:
            await websocket.prepare(request)
            await app.start(*_size(request.query))
            await self._process_messages(websocket, app)
        except (ConnectionError, RuntimeError) as error:
            log.warning("a page went away: %s", error)
        finally:
            # The page may be gone and this handler cancelled: the app ends all the same.
            ending = asyncio.ensure_future(app.stop())
            ending.add_done_callback(lambda _: self._apps.discard(app))
            await asyncio.shield(ending)
            await websocket.close()
        return websocket

    async def _process_messages(self, websocket: web.WebSocketResponse, app_service: AppService) -> None:
        """Keys, sizes and pings; anything else is passed over."""
        async for message in websocket:
            if message.type != WSMsgType.TEXT:
                continue
            try:
                kind, value = [*message.json(), None][:2]
            except (ValueError, TypeError):
                continue
            match kind, value:
                case "stdin", str():
                    await app_service.send_bytes(value.encode("utf-8", "replace"))
                case "resize", {"width": _, "height": _}:
                    await app_service.set_terminal_size(*_size(value))
                case "ping", _:
                    await websocket.send_json(["pong", value])
                case "blur", _:
                    await app_service.blur()
                case "focus", _:
                    await app_service.focus()

    async def on_startup(self, app: web.Application) -> None:
        print(f"Open this in a browser on this machine:\n\n  {self.url}\n", file=sys.stderr)
        print("Who knows the address can use the app as you can. Ctrl+C ends it.", file=sys.stderr, flush=True)

    async def on_shutdown(self, app: web.Application) -> None:
        await asyncio.gather(*(one.stop() for one in list(self._apps)))


def _size(asked: Any) -> tuple[int, int]:
    """Columns and lines within reason."""
    width, height = to_int(str(asked.get("width")), 80), to_int(str(asked.get("height")), 24)
    return min(MOST_COLUMNS, max(20, width)), min(MOST_LINES, max(5, height))


def serve(port: int) -> None:
    """Serve until Ctrl+C. Raises UsageError for a port that cannot be had."""
    os.environ.setdefault("TERM", "xterm-256color")
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise UsageError(f"Port {port} cannot be used: {error.strerror}", "Choose another: --port 8765") from error
    LoopbackServer(port).serve()
