"""A clock for tests of waiting, on which waiting takes no time."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta

from escriba.engines.vision import Pace

START = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


class Hurrying:
    """Notes every wait."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)

    def pace(self) -> Pace:
        return Pace(lambda: self.seconds, self.sleep, lambda: START + timedelta(seconds=self.seconds), random.Random(7))
