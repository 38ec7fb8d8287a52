"""When a server is left alone, and how long is waited between two tries."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escriba.engines.breaker import Breaker, pause, retry_after

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def failing(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        assert breaker.admits()
        breaker.failed()


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    """Not one sooner, and a success in between starts the count again."""
    breaker = Breaker(Clock(), failures=3)
    failing(breaker, 2)
    breaker.succeeded()
    failing(breaker, 2)
    assert breaker.state == "closed"
    failing(breaker, 1)
    assert breaker.state == "open"
    assert not breaker.admits()


def test_it_opens_when_half_of_the_last_tries_failed() -> None:
    """A server that fails every other time is never three times in a row at fault; it is judged when enough has been seen."""
    breaker = Breaker(Clock(), failures=3, share=0.5, window=8)
    for _ in range(3):
        failing(breaker, 1)
        breaker.succeeded()
    assert breaker.state == "closed"
    failing(breaker, 2)
    assert breaker.state == "open"


def test_half_open_lets_one_through() -> None:
    """One alone, until its outcome is known; good, and all may go."""
    clock = Clock()
    breaker = Breaker(clock, failures=1, seconds=10)
    failing(breaker, 1)
    clock.seconds += 9.9
    assert not breaker.admits()
    clock.seconds += 0.1
    assert breaker.state == "half-open"
    assert breaker.admits()
    assert not breaker.admits()
    breaker.succeeded()
    assert breaker.state == "closed"
    assert breaker.admits()
    assert breaker.admits()


def test_a_failed_probe_doubles_the_wait_up_to_a_limit() -> None:
    """10, 20, 40, 40 seconds; after a success it begins with 10 again."""
    clock = Clock()
    breaker = Breaker(clock, failures=1, seconds=10, longest=40)
    failing(breaker, 1)
    waits = []
    for _ in range(4):
        waits.append(breaker.wait)
        clock.seconds += breaker.wait
        failing(breaker, 1)
    assert waits == [10, 20, 40, 40]
    clock.seconds += 40
    assert breaker.admits()
    breaker.succeeded()
    failing(breaker, 1)
    assert breaker.wait == 10


def test_an_abandoned_probe_leaves_the_door_to_the_next() -> None:
    """A question that was cancelled says nothing of the server."""
    clock = Clock()
    breaker = Breaker(clock, failures=1, seconds=10)
    failing(breaker, 1)
    clock.seconds += 10
    assert breaker.admits()
    breaker.abandoned()
    assert breaker.admits()


def test_late_failures_of_tries_from_before_do_not_prolong_it() -> None:
    """Those under way when it opened fail one by one; the time it is open is counted from its opening."""
    clock = Clock()
    breaker = Breaker(clock, failures=1, seconds=10)
    assert breaker.admits()
    assert breaker.admits()
    breaker.failed()
    clock.seconds += 9
    breaker.failed()
    assert breaker.wait == 1


@given(st.lists(st.sampled_from(["works", "fails", "gives up", "waits"]), max_size=80))
def test_whatever_happens_it_lets_something_through_in_the_end(events: list[str]) -> None:
    """No sequence of outcomes shuts it for ever, and only one is under way while it is half-open."""
    clock = Clock()
    breaker = Breaker(clock, failures=2, seconds=10, longest=40)
    for event in events:
        if event == "waits":
            clock.seconds += 5
        elif breaker.admits():
            assert breaker.state == "closed" or not breaker.admits()
            {"works": breaker.succeeded, "fails": breaker.failed, "gives up": breaker.abandoned}[event]()
    clock.seconds += 40
    assert breaker.admits()


@given(st.integers(1, 100), st.integers())
def test_jitter_is_full_and_bounded(tries: int, seed: int) -> None:
    """From nothing to a bound that doubles up to 20 s."""
    assert 0 <= pause(tries, None, random.Random(seed)) <= min(20.0, 0.5 * 2 ** (tries - 1))


def test_jitter_spreads() -> None:
    """A thousand clients that failed together come back over the whole of the time, not together."""
    waits = [pause(4, None, random.Random(seed)) for seed in range(1000)]
    tenths = [sum(part * 0.4 <= wait < (part + 1) * 0.4 for wait in waits) for part in range(10)]
    assert min(tenths) > 60


def test_what_the_server_told_is_the_least() -> None:
    """Never sooner; a little later, by chance."""
    waits = [pause(1, 7.0, random.Random(seed)) for seed in range(100)]
    assert 7.0 <= min(waits) < max(waits) <= 7.5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 400, 999_999_999.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("\u0663", None),
        (format_datetime(NOON + timedelta(seconds=90), usegmt=True), 90.0),
        ("Sat, 28 Nov 2026 13:00:00 +0000", 3600.0),
        ("Sat, 28 Nov 2026 12:00:30 -0000", 30.0),
        (format_datetime(NOON - timedelta(days=1), usegmt=True), 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str | None, seconds: float | None) -> None:
    """RFC 9110's two forms, a date in the past meaning now; anything else tells nothing."""
    assert retry_after(value, NOON) == seconds


@given(st.text(max_size=40))
def test_no_header_makes_it_fall_over(value: str) -> None:
    """A server may send anything."""
    told = retry_after(value, NOON)
    assert told is None or told >= 0
