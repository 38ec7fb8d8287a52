"""Who may ask the vision server next: the worker's pages and direct callers in one line, interactive before batch, and a bound on those who wait.

One object for threads and for event loops: whoever enters gets a future that is done when it is its turn.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager
from dataclasses import dataclass, field

from escriba.document import Urgency
from escriba.errors import Throttled

_ORDER: dict[Urgency, int] = {"interactive": 0, "batch": 1}
_SMOOTHING = 0.1
_LEAST_WAIT, _MOST_WAIT = 1, 60  # seconds


class Full(Throttled):
    """There are more waiting than there may be. `retry_after` is how long the line is, by estimate, in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the vision service has no place left in its line; try again in {retry_after} s")
        self.retry_after = retry_after


@dataclass(order=True)
class Place:
    """A place in the line; `turn` is done when it is its turn, and raises `Full` when it had to make way."""

    rank: int
    number: int
    urgency: Urgency = field(compare=False)
    turn: Future[None] = field(compare=False, default_factory=Future)
    admitted: bool = field(compare=False, default=False)


class Admission:
    """At most `limit` at once (`widen` changes it) and `line` waiting; thread-safe, and never waits itself."""

    def __init__(self, limit: int, *, line: int) -> None:
        self._limit, self._line = limit, line
        self._inside = 0
        self._waiting: list[Place] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._seconds = 1.0  # how long one is inside, smoothed
        self._counts: Counter[str] = Counter()

    @property
    def limit(self) -> int:
        return self._limit

    @property
    def inside(self) -> int:
        """Those who ask now."""
        return self._inside

    @property
    def waiting(self) -> int:
        """Those in line."""
        return len(self._waiting)

    def counts(self) -> Counter[str]:
        """Since the last look: admitted, shed (refused at the door, or made to give way), abandoned in line."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            return counts

    def widen(self, limit: int) -> None:
        """Set how many may ask at once; those who are inside stay."""
        with self._lock:
            self._limit = limit
            turns = self._admit()
        _tell(turns)

    def enter(self, urgency: Urgency) -> Place:
        """Get in line. Raises `Full` when there is no place; a batch caller gives up its own for an interactive one."""
        with self._lock:
            place = Place(_ORDER[urgency], next(self._numbers), urgency)
            shed = self._make_room(place)
            heapq.heappush(self._waiting, place)
            turns = self._admit()
        if shed is not None:
            _say(shed, Full(self.retry_after()))
        _tell(turns)
        return place

    def leave(self, place: Place, seconds: float = 0.0) -> None:
        """Give the place up, whether its turn had come or not. `seconds` is how long the server was asked, 0 when it was not."""
        with self._lock:
            if place in self._waiting:
                self._waiting.remove(place)
                heapq.heapify(self._waiting)
                self._counts["abandoned"] += 1
                turns: list[Place] = []
            else:
                if place.admitted:
                    place.admitted = False
                    self._inside -= 1
                if seconds:
                    self._seconds += _SMOOTHING * (seconds - self._seconds)
                turns = self._admit()
        _tell(turns)

    def retry_after(self) -> int:
        """Seconds after which a place will probably be free."""
        rounds = (self.waiting + 1) / max(1, self._limit)
        return min(_MOST_WAIT, max(_LEAST_WAIT, round(rounds * self._seconds)))

    @contextmanager
    def turn(self, urgency: Urgency, seconds: float) -> Iterator[None]:
        """Wait for a turn, and have it while the context lasts; for threads. Raises `Full`, or `Throttled` when the turn does not come in time."""
        place = self.enter(urgency)
        began = time.monotonic()
        try:
            try:
                place.turn.result(max(0.0, seconds))
            except TimeoutError:
                raise Throttled("the vision service is busy: its turn did not come in time") from None
            began = time.monotonic()
            yield
        finally:
            self.leave(place, time.monotonic() - began)

    def _make_room(self, place: Place) -> Place | None:
        if self._inside < self._limit or len(self._waiting) < self._line:
            return None
        last = max(self._waiting, default=place)
        self._counts["shed"] += 1
        if last.rank <= place.rank:
            raise Full(self.retry_after())
        self._waiting.remove(last)
        heapq.heapify(self._waiting)
        return last

    def _admit(self) -> list[Place]:
        turns = []
        while self._waiting and self._inside < self._limit:
            place = heapq.heappop(self._waiting)
            place.admitted = True
            turns.append(place)
            self._inside += 1
            self._counts["admitted"] += 1
        return turns


def _tell(turns: list[Place]) -> None:
    """Outside the lock: a future runs what others have hung onto it."""
    for place in turns:
        _say(place, None)


def _say(place: Place, refusal: Full | None) -> None:
    try:
        if refusal is None:
            place.turn.set_result(None)
        else:
            place.turn.set_exception(refusal)
    except InvalidStateError:
        pass  # its caller went away meanwhile, and leaves by itself
