"""The OpenAI-compatible front for direct callers: in one line with the worker's pages, bounded in number, length and time, then handed to the server as it is.

A caller may send `X-Escriba-Urgency: batch` and `X-Escriba-Deadline-Seconds`. Whoever finds no place gets 429 with Retry-After before a byte of the
body is read, so that what waits takes no memory.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from escriba.document import Urgency
from escriba.ports import Meter
from gpu_service.admission import Admission, Full, Place

_ASKED = "/v1/chat/completions"
_LIMITS = ("max_tokens", "max_completion_tokens")
_PASSED_ON = frozenset({"content-type", "x-request-id"})
_FULL, _LATE, _BROKEN = 429, 504, 502


@dataclass(frozen=True)
class Rules:
    """What a direct caller may ask: answers of `max_tokens` at most, `seconds` in all, bodies of `body_bytes`; `key` when it has to show one."""

    max_tokens: int = 8192
    seconds: float = 120.0
    body_bytes: int = 24 << 20
    key: str = ""


class Refused(Exception):
    """A request that is answered here; `status` and a code as OpenAI's errors have them."""

    def __init__(self, status: int, code: str, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.code, self.headers = status, code, dict(headers or {})


class Front:
    """Serves in a thread of its own between `start` and `stop`; `ready` says whether the server behind can be asked."""

    def __init__(self, upstream: str, admission: Admission, meter: Meter, ready: Any, rules: Rules | None = None) -> None:
        self._upstream, self._admission, self._meter, self._ready = upstream, admission, meter, ready
        self._rules = rules or Rules()
        self._loop = asyncio.new_event_loop()
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="front", daemon=True)

    def start(self, host: str, port: int) -> int:
        """Begin to listen; the port, which 0 leaves to the system. Raises OSError when it is taken."""
        self._thread.start()
        return asyncio.run_coroutine_threadsafe(self._open(host, port), self._loop).result(10)

    def stop(self, seconds: float = 5.0) -> None:
        """Take no more requests, finish those under way for so long, and end."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(seconds), self._loop).result(seconds + 5)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)

    async def _open(self, host: str, port: int) -> int:
        app = web.Application(client_max_size=self._rules.body_bytes)
        app.router.add_post(_ASKED, self._ask)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        connections = aiohttp.TCPConnector(limit=0)  # admission is the limit
        self._session = aiohttp.ClientSession(self._upstream, connector=connections, trust_env=False, auto_decompress=False)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, lingering_time=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, backlog=1024).start()
        except OSError:
            await self._session.close()
            raise
        return int(self._runner.addresses[0][1])

    async def _close(self, seconds: float) -> None:
        if self._runner is not None:
            await asyncio.wait_for(self._runner.shutdown(), seconds)
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _health(self, _: web.Request) -> web.Response:
        well = self._ready()
        state = {"ready": well, "inside": self._admission.inside, "waiting": self._admission.waiting, "limit": self._admission.limit}
        return web.json_response(state, status=200 if well else 503)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        try:
            self._check(request)
            return await self._handed_on(request, "GET", "/v1/models", None, time.monotonic() + self._rules.seconds)
        except Refused as refused:
            return _told(refused)

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        try:
            self._check(request)
            urgency, end = _urgency(request), time.monotonic() + self._patience(request)
            async with self._turn(urgency, end):
                body = self._clamped(await self._body(request, end))
                return await self._handed_on(request, "POST", _ASKED, body, end)
        except Refused as refused:
            self._meter.count("DirectRefused")
            return _told(refused)

    def _check(self, request: web.Request) -> None:
        sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._rules.key and not hmac.compare_digest(sent.encode(), self._rules.key.encode()):
            raise Refused(401, "invalid_api_key", "the key is missing or wrong")
        if not self._ready():
            raise Refused(503, "server_starting", "the vision server is not ready", {"Retry-After": "10"})

    def _patience(self, request: web.Request) -> float:
        wished = request.headers.get("X-Escriba-Deadline-Seconds", "")
        try:
            seconds = float(wished) if wished else self._rules.seconds
        except ValueError:
            seconds = -1.0
        if not 0 < seconds < float("inf"):
            raise Refused(400, "invalid_deadline", "X-Escriba-Deadline-Seconds is a number of seconds above 0")
        return min(seconds, self._rules.seconds)

    @asynccontextmanager
    async def _turn(self, urgency: Urgency, end: float) -> AsyncIterator[None]:
        try:
            place = self._admission.enter(urgency)
        except Full as full:
            raise _full(full) from None
        began = 0.0
        try:
            await self._its_turn(place, end)
            began = time.monotonic()
            yield
        finally:
            self._admission.leave(place, time.monotonic() - began if began else 0.0)

    async def _its_turn(self, place: Place, end: float) -> None:
        if place.turn.done() and place.turn.exception() is None:
            return
        try:
            async with asyncio.timeout(end - time.monotonic()):
                await asyncio.wrap_future(place.turn)
        except Full as full:
            raise _full(full) from None
        except TimeoutError:
            raise Refused(_FULL, "deadline", "its turn did not come in time", {"Retry-After": str(self._admission.retry_after())}) from None

    async def _body(self, request: web.Request, end: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(end - time.monotonic()):
                body = json.loads(await request.read())
        except web.HTTPRequestEntityTooLarge:
            raise Refused(413, "too_large", f"the request is larger than {self._rules.body_bytes >> 20} MiB") from None
        except TimeoutError:
            raise Refused(408, "too_slow", "the request did not arrive in time") from None
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise Refused(400, "invalid_json", "the request is not a JSON object")
        return body

    def _clamped(self, body: dict[str, Any]) -> bytes:
        """Answers are bounded, whatever was asked for."""
        most = self._rules.max_tokens
        given = [body.pop(name) for name in _LIMITS if name in body]
        wished = [value for value in given if isinstance(value, int) and not isinstance(value, bool) and value > 0]
        if isinstance(body.get("n"), int) and body["n"] > 1:
            raise Refused(400, "one_answer", "one answer a request: n is 1 here")
        return json.dumps(body | {"max_tokens": min([most, *wished])}, separators=(",", ":")).encode()

    async def _handed_on(self, request: web.Request, method: str, path: str, body: bytes | None, end: float) -> web.StreamResponse:
        assert self._session is not None  # noqa: S101  (made before the first request)
        headers = {name: value for name, value in request.headers.items() if name.lower() in _PASSED_ON}
        response: web.StreamResponse | None = None
        try:
            async with (
                asyncio.timeout(end - time.monotonic()),
                self._session.request(method, path, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                kept = {"Content-Type": answer.headers.get("Content-Type", "application/json")}
                if "Retry-After" in answer.headers:
                    kept["Retry-After"] = answer.headers["Retry-After"]
                response = web.StreamResponse(status=answer.status, headers=kept)
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
                await response.write_eof()
                return response
        except (TimeoutError, aiohttp.ClientError) as error:
            if response is not None:
                raise ConnectionResetError from None  # begun as a success: only a broken line says that it is none
            late = isinstance(error, TimeoutError)
            raise Refused(
                _LATE if late else _BROKEN,
                "deadline" if late else "server_failed",
                "the vision server did not answer in time" if late else "the vision server cannot be reached or broke off",
                {"Retry-After": "5"},
            ) from None


def _urgency(request: web.Request) -> Urgency:
    said = request.headers.get("X-Escriba-Urgency", "interactive").lower()
    if said == "batch":
        return "batch"
    if said == "interactive":
        return "interactive"
    raise Refused(400, "invalid_urgency", "X-Escriba-Urgency is interactive or batch")


def _full(full: Full) -> Refused:
    return Refused(_FULL, "full", str(full), {"Retry-After": str(full.retry_after)})


def _told(refused: Refused) -> web.Response:
    body = {"error": {"message": str(refused), "type": "escriba", "code": refused.code}}
    return web.json_response(body, status=refused.status, headers=refused.headers)
