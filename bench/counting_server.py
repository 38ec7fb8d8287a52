"""Stands in for a vision server where the server is not what is measured: answers after a fixed time, counts who came, and keeps what they sent.

`python -m bench.counting_server PORT --seconds S [--keep FOLDER]`; it ends with its standard input. It streams the events that vLLM streams, of 16 tokens each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.engines.servers import HERE, Server, free_port, started

TOKENS, TOGETHER = 256, 16
MATTER = "---\nprimary_language: en\nis_rotation_valid: True\nrotation_correction: 0\nis_table: False\nis_diagram: False\n---\n"
WORDS = ("harbour", "ledger", "copper", "window", "signal", "market", "river", "paper", "yellow", "station", "garden", "letter", "engine")


def transcript() -> list[str]:
    """An answer as the registry's default model gives it, in as many pieces as there are events."""
    pieces = TOKENS // TOGETHER
    words = [WORDS[(n * n + 7 * n) % len(WORDS)] + (".\n\n" if n % 30 == 29 else " ") for n in range(pieces * 11)]
    return [MATTER, *("".join(words[n * 11 : n * 11 + 11]) for n in range(pieces - 1))]


class Counting:
    """Answers every request after `seconds`; `came` has how often each X-Request-ID did, `""` those without one."""

    def __init__(self, seconds: float, keep: Path | None = None) -> None:
        self._seconds, self._keep = seconds, keep
        self._pieces = transcript()
        self._inside = self._most = 0
        self.came: Counter[str] = Counter()

    def app(self) -> web.Application:
        """What serves it."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/counts", self._counts)
        app.router.add_post("/v1/chat/completions", self._complete)
        return app

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=f"vllm:num_requests_running {self._inside}\nvllm:num_requests_waiting 0\n")

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "counting", "object": "model", "owned_by": "vllm", "created": 0}]})

    async def _counts(self, _: web.Request) -> web.Response:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return web.json_response({"came": self.came, "most_at_once": self._most, "peak_mib": peak})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.came[request.headers.get("X-Request-ID", "")] += 1
        self._inside += 1
        self._most = max(self._most, self._inside)
        try:
            number, sent = self.came.total(), await request.read()
            if self._keep is not None:
                (self._keep / f"{number:05d}.json").write_bytes(sent)
            if json.loads(sent).get("stream"):
                return await self._streamed(request)
            await asyncio.sleep(self._seconds)
            choice = {"index": 0, "message": {"role": "assistant", "content": "".join(self._pieces)}, "finish_reason": "stop"}
            return web.json_response(_event("chat.completion", [choice], TOKENS))
        finally:
            self._inside -= 1

    async def _streamed(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for n, piece in enumerate(self._pieces):
            await asyncio.sleep(self._seconds / len(self._pieces))
            last = n == len(self._pieces) - 1
            choice = {"index": 0, "delta": {"content": piece}, "logprobs": None, "finish_reason": "stop" if last else None}
            await self._send(response, _event("chat.completion.chunk", [choice], (n + 1) * TOGETHER))
        await self._send(response, _event("chat.completion.chunk", [], TOKENS))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _send(self, response: web.StreamResponse, event: dict[str, Any]) -> None:
        await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")


def _event(kind: str, choices: list[dict[str, Any]], tokens: int) -> dict[str, Any]:
    usage = {"prompt_tokens": 1500, "completion_tokens": tokens, "total_tokens": 1500 + tokens}
    return {"id": "chatcmpl-0", "object": kind, "created": 0, "model": "counting", "choices": choices, "usage": usage}


async def _serve(port: int, counting: Counting) -> None:
    runner = web.AppRunner(counting.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HERE, port, backlog=1024).start()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


@contextmanager
def counting_server(directory: Path, seconds: float, keep: Path | None = None) -> Iterator[Server]:
    """The stand-in for a vision server, in a process of its own."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "bench.counting_server",
        str(port),
        "--seconds",
        str(seconds),
        *(["--keep", str(keep)] if keep else []),
    ]
    with started("counting", command, port, directory / f"counting-{port}.log", seconds=20) as server:
        yield server


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    asyncio.run(_serve(given.port, Counting(given.seconds, given.keep)))


if __name__ == "__main__":
    main()
