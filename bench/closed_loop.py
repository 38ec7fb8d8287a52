"""Sends recorded requests straight to a vision server, so many at once and the next as soon as one is answered: what a worker is measured against."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

_PATIENCE = 600.0  # seconds for one answer


@dataclass(frozen=True)
class Loop:
    """Answers, seconds from the first request to the end of the last answer, and tokens of the shortest and the longest answer."""

    answers: int
    seconds: float
    shortest: int
    longest: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def closed_loop(address: str, bodies: Sequence[bytes], number: int, at_once: int) -> Loop:
    """Ask `number` times, the bodies in turn. Raises RuntimeError when an answer is none."""
    return asyncio.run(_loop(address, bodies, number, at_once))


async def _loop(address: str, bodies: Sequence[bytes], number: int, at_once: int) -> Loop:
    left = iter([bodies[n % len(bodies)] for n in range(number)])
    lengths: list[int] = []
    connector, patience = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=_PATIENCE)
    async with aiohttp.ClientSession(address, connector=connector, timeout=patience, trust_env=False) as session:

        async def ask() -> None:
            for body in left:  # shared: whoever is free takes the next
                length = await _answer(session, body)
                lengths.append(length)

        began = time.monotonic()
        await asyncio.gather(*(ask() for _ in range(at_once)))
        return Loop(len(lengths), time.monotonic() - began, min(lengths), max(lengths))


async def _answer(session: aiohttp.ClientSession, body: bytes) -> int:
    """Tokens of one streamed answer, read to its end."""
    tokens, ended = 0, False
    async with session.post("/v1/chat/completions", data=body, headers={"Content-Type": "application/json"}) as response:
        if response.status != 200:
            raise RuntimeError(f"the server answered with {response.status}: {(await response.text())[:300]}")
        async for line in response.content:
            if line.startswith(b"data: [DONE]"):
                ended = True
            elif line.startswith(b"data: {"):
                tokens = (json.loads(line[6:]).get("usage") or {}).get("completion_tokens", tokens)
    if not ended:
        raise RuntimeError("the server broke off in the middle of an answer")
    return int(tokens)
