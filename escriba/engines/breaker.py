"""When a server is asked again: the circuit breaker that leaves a failing one alone, and the waits between two tries."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

State = Literal["closed", "open", "half-open"]


class Breaker:
    """Closed it lets every try through; open none; half-open one alone, whose outcome decides.

    It opens after `failures` failures in a row, or when at least `share` (0 to 1) of the last `window` tries failed. It stays open for `seconds`, and
    twice as long as before (up to `longest`) whenever the try that was let through fails. `clock` gives seconds that only go forward. Not
    thread-safe: its owner asks it from one thread.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        failures: int = 5,
        share: float = 0.5,
        window: int = 20,
        seconds: float = 10.0,
        longest: float = 120.0,
    ) -> None:
        self._clock = clock
        self._failures, self._share = failures, share
        self._outcomes: deque[bool] = deque(maxlen=window)
        self._in_a_row = 0
        self._shortest, self._longest = seconds, longest
        self._pause = seconds
        self._opened: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        if self._opened is None:
            return "closed"
        return "open" if self.wait > 0 else "half-open"

    @property
    def wait(self) -> float:
        """Seconds until a try may be let through."""
        return 0.0 if self._opened is None else max(0.0, self._opened + self._pause - self._clock())

    def admits(self) -> bool:
        """Whether a try may go now; who is admitted tells its outcome, by exactly one of `succeeded`, `failed` and `abandoned`."""
        state = self.state
        if state == "closed":
            return True
        if state == "open" or self._probing:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """The server did its work, if only to refuse a question for good reason."""
        if self._opened is not None:
            self._outcomes.clear()
        self._outcomes.append(True)
        self._in_a_row = 0
        self._opened, self._probing, self._pause = None, False, self._shortest

    def failed(self) -> None:
        """The server did not do its work: no answer, a broken one, too late, or its own error."""
        self._outcomes.append(False)
        self._in_a_row += 1
        if self._probing:
            self._pause = min(self._longest, 2 * self._pause)
            self._open()
        elif self._opened is None and (self._in_a_row >= self._failures or self._mostly_failing()):
            self._open()

    def abandoned(self) -> None:
        """The try ended before it could say anything about the server."""
        self._probing = False

    def _open(self) -> None:
        self._opened, self._probing = self._clock(), False

    def _mostly_failing(self) -> bool:
        full = len(self._outcomes) == self._outcomes.maxlen
        return full and self._outcomes.count(False) >= self._share * len(self._outcomes)


def pause(tries: int, told: float | None, chance: random.Random, *, first: float = 0.5, longest: float = 20.0) -> float:
    """Seconds to wait after so many failed tries (1 or more), with full jitter: anything up to a bound that doubles with each try.

    Where the server told how long to wait, that comes first: never sooner, and not all at the same moment.
    """
    return (told or 0.0) + chance.uniform(0, min(longest, first * 2 ** min(tries - 1, 16)))


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as an HTTP date; None without one or where it is neither.

    `now` is an aware time: a date is compared with it.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds())
