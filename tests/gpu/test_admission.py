"""One line for all: interactive before batch, bounded, and what is given is given back."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from escriba.errors import Throttled
from gpu_service.admission import Admission, Full, Place


def its_turn(place: Place) -> bool:
    return place.turn.done() and place.turn.exception() is None


def test_so_many_at_once_and_the_others_in_line() -> None:
    """Two may ask; the third has its turn when one leaves."""
    admission = Admission(2, line=10)
    first, second, third = (admission.enter("batch") for _ in range(3))
    assert (its_turn(first), its_turn(second), its_turn(third)) == (True, True, False)
    admission.leave(first, 1.0)
    assert its_turn(third)
    assert (admission.inside, admission.waiting) == (2, 0)


def test_interactive_goes_before_batch() -> None:
    """Whoever cannot wait overtakes whoever can, and within each the first comes first."""
    admission = Admission(1, line=10)
    inside = admission.enter("batch")
    batch, other, asked = admission.enter("batch"), admission.enter("batch"), admission.enter("interactive")
    admission.leave(inside)
    assert (its_turn(asked), its_turn(batch)) == (True, False)
    admission.leave(asked)
    assert (its_turn(batch), its_turn(other)) == (True, False)


def test_a_full_line_refuses_batch_and_makes_room_for_interactive() -> None:
    """Batch hears that it is full and for how long; an interactive caller takes the place of the last of batch, which hears the same."""
    admission = Admission(1, line=2)
    admission.enter("batch")
    first, last = admission.enter("batch"), admission.enter("batch")
    with pytest.raises(Full) as full:
        admission.enter("batch")
    assert 1 <= full.value.retry_after <= 60
    asked = admission.enter("interactive")
    assert isinstance(last.turn.exception(0), Full)
    assert not first.turn.done()
    assert not asked.turn.done()
    admission.enter("interactive")
    with pytest.raises(Full):
        admission.enter("interactive")  # only interactive ones wait now
    assert admission.counts() == {"admitted": 1, "shed": 4}


def test_a_wider_limit_lets_the_next_in_and_a_narrower_one_nobody() -> None:
    """Those who wait go in at once; those inside are never sent out."""
    admission = Admission(1, line=10)
    places = [admission.enter("batch") for _ in range(4)]
    admission.widen(3)
    assert [its_turn(place) for place in places] == [True, True, True, False]
    admission.widen(1)
    admission.leave(places[0])
    admission.leave(places[1])
    assert (admission.inside, its_turn(places[3])) == (1, False)
    admission.leave(places[2])
    assert its_turn(places[3])


def test_a_turn_that_does_not_come_in_time_is_given_up() -> None:
    """The caller is told that it is busy, and leaves no gap behind."""
    admission = Admission(1, line=10)
    inside = admission.enter("batch")
    with pytest.raises(Throttled), admission.turn("batch", 0.01):
        pytest.fail("it was not its turn")
    assert admission.waiting == 0
    admission.leave(inside)
    with admission.turn("batch", 1):
        assert admission.inside == 1
    assert admission.inside == 0


def test_what_fails_inside_leaves_all_the_same() -> None:
    """An error of whoever asked is its own, a TimeoutError too."""
    admission = Admission(1, line=10)
    with pytest.raises(TimeoutError), admission.turn("batch", 1):
        raise TimeoutError
    assert admission.inside == 0


def test_a_caller_that_went_away_is_passed_over() -> None:
    """A future that was cancelled (its connection broke) takes no place for ever."""
    admission = Admission(1, line=10)
    inside, gone, next_one = admission.enter("batch"), admission.enter("batch"), admission.enter("batch")
    gone.turn.cancel()
    admission.leave(inside)
    assert not its_turn(next_one)
    admission.leave(gone)
    assert its_turn(next_one)
    assert admission.inside == 1


def test_threads_never_are_more_than_the_limit() -> None:
    """Whatever their number; and in the end nobody is inside."""
    admission, most, lock = Admission(3, line=100), [0, 0], threading.Lock()

    def ask(n: int) -> None:
        with admission.turn("interactive" if n % 3 else "batch", 10):
            with lock:
                most[0] += 1
                most[1] = max(most)
            time.sleep(0.002)
            with lock:
                most[0] -= 1

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(ask, range(100)))
    assert most == [0, 3]
    assert (admission.inside, admission.waiting) == (0, 0)
    assert admission.counts()["admitted"] == 100


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["in", "in", "in batch", "out", "away", "wide", "narrow"]), st.integers(0, 30)), max_size=60))
def test_whatever_happens_the_books_are_right(steps: list[tuple[str, int]]) -> None:
    """As many inside as were let in and have not left, never one more let in than the limit, and somebody always in when somebody waits."""
    admission, places = Admission(2, line=3), []
    for step, n in steps:
        if step.startswith("in"):
            try:
                places.append(admission.enter("batch" if "batch" in step else "interactive"))
            except Full:
                continue
        elif step in {"wide", "narrow"}:
            admission.widen(4 if step == "wide" else 1)
        elif places:
            place = places.pop(n % len(places))
            if step == "away":
                place.turn.cancel()
            admission.leave(place)
        places = [place for place in places if not isinstance(place.turn.done() and place.turn.exception(), Full)]
        assert admission.inside == sum(its_turn(place) for place in places)
        assert admission.waiting == sum(not place.turn.done() for place in places) <= 3
        assert not admission.waiting or admission.inside >= admission.limit
