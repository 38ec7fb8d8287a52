"""Offers the served endpoint more than it can take, at a fixed rate whatever it answers, and accounts for every request.

`python -m bench.front_load ADDRESS --rate 1000 --seconds 15` prints one JSON object. Requests go out when the clock says so, not when earlier ones are
answered, and their latency counts from then.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

_PATIENCE = 60.0  # seconds after which a request counts as lost
_PICTURE = "A" * 12_000  # stands for an image: what is refused is refused before a byte of it is read


@dataclass
class Told:
    """How every request ended: by status or by the name of an error; latencies in seconds; the ids of those that were answered with 200."""

    offered: int = 0
    seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    accepted: list[float] = field(default_factory=list)
    shed: list[float] = field(default_factory=list)
    accepted_ids: list[str] = field(default_factory=list)
    latest_start: float = 0.0  # how far the sender fell behind its own clock, at worst


async def offer(address: str, rate: float, seconds: float, key: str = "") -> Told:
    """Send rate x seconds requests and wait for the last answer."""
    told = Told()
    body = {"model": "counting", "max_tokens": 256, "messages": [{"role": "user", "content": _PICTURE}]}
    packed = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    patience = aiohttp.ClientTimeout(total=_PATIENCE)
    async with aiohttp.ClientSession(address, connector=aiohttp.TCPConnector(limit=0), timeout=patience, trust_env=False) as session:
        tasks: list[asyncio.Task[None]] = []
        began = time.monotonic()
        for number in range(round(rate * seconds)):
            due = began + number / rate
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            told.latest_start = max(told.latest_start, time.monotonic() - due)
            tasks.append(asyncio.create_task(_one(session, packed, headers | {"X-Request-ID": f"r{number}"}, due, told)))
            if number % 20 == 19:
                await asyncio.sleep(0)  # let those that are answered be heard
        told.seconds, told.offered = time.monotonic() - began, len(tasks)
        await asyncio.gather(*tasks)
    return told


async def _one(session: aiohttp.ClientSession, body: bytes, headers: dict[str, str], due: float, told: Told) -> None:
    try:
        async with session.post("/v1/chat/completions", data=body, headers=headers) as answer:
            whole = await answer.read()
            status = answer.status
    except (aiohttp.ClientError, TimeoutError) as error:
        told.ends[type(error).__name__] += 1
        return
    told.ends[str(status)] += 1
    latency = time.monotonic() - due
    if status == 200 and json.loads(whole)["choices"]:
        told.accepted.append(latency)
        told.accepted_ids.append(headers["X-Request-ID"])
    elif status == 429 and answer.headers.get("Retry-After", "").isdigit():
        told.shed.append(latency)


def share(latencies: list[float], part: float) -> float:
    """The latency below which this part (0 to 1) of them lies; 0 where there are none."""
    return sorted(latencies)[min(len(latencies) - 1, int(part * len(latencies)))] if latencies else 0.0


def main() -> None:
    """Print what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=15)
    given = parser.parse_args()
    json.dump(vars(asyncio.run(offer(given.address, given.rate, given.seconds))), sys.stdout)


if __name__ == "__main__":
    main()
