"""A vision server that only counts, as a process: `python -m tests.gpu.stub_server PORT [SECONDS]`; it ends with its standard input.

It answers every question after so many seconds with the request it was sent, `POST /mood` {"status": 503, "hang": true, ...} changes that, and
`GET /seen` says how many it has answered and how many it had at once.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from typing import Any

from aiohttp import web


class Stub:
    """What it was asked, and how it is disposed."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.mood = seconds, dict[str, Any]()
        self.ids: list[str] = []
        self.inside = self.most = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self.ask),
                web.get("/v1/models", lambda _: _answer({"data": [{"id": "stub"}]})),
                web.get("/health", self.health),
                web.get("/metrics", self.metrics),
                web.get("/seen", lambda _: _answer({"ids": self.ids, "most": self.most})),
                web.post("/mood", self.set_mood),
            ]
        )
        return app

    async def ask(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.ids.append(request.headers.get("X-Request-Id", ""))
        try:
            await asyncio.sleep(3600 if self.mood.get("hang") else self.seconds)
            if "status" in self.mood:
                return web.json_response({"error": {"message": "no"}}, status=self.mood["status"], headers={"Retry-After": "7"})
            if not body.get("stream"):
                return web.json_response({"asked": body, "authorization": request.headers.get("Authorization", "")})
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            for n in range(3):
                await response.write(f"data: {n}\n\n".encode())
                await asyncio.sleep(0.01)
                if self.mood.get("break"):
                    request.transport.abort()  # type: ignore[union-attr]
            return response
        finally:
            self.inside -= 1

    async def health(self, _: web.Request) -> web.Response:
        if self.mood.get("hang"):
            await asyncio.sleep(3600)
        return web.Response(status=self.mood.get("health", 200))

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=f'vllm:num_requests_running{{engine="0"}} {self.inside}.0\nvllm:num_requests_waiting{{engine="0"}} 0.0\n')

    async def set_mood(self, request: web.Request) -> web.Response:
        self.mood = json.loads(await request.text())
        return web.Response()


async def _answer(body: dict[str, Any]) -> web.Response:
    return web.json_response(body)


async def main() -> None:
    """Serve until nobody wants it any more."""
    runner = web.AppRunner(Stub(float(sys.argv[2]) if len(sys.argv) > 2 else 0.0).app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1]), backlog=1024).start()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(ended.set)), daemon=True).start()
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
