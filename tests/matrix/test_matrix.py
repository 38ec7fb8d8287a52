"""One fault at a time: the alarms meant for it answer and no others, everything heals, every page is accounted for, none is read too often."""

from __future__ import annotations

from dataclasses import replace

import pytest

from escriba.alarms import ALARMS, Alarm
from escriba.alarms.cost import cost_per_hour
from escriba.local.alarm_evaluator import changes, is_red
from tests.matrix.faults import FAULTS
from tests.matrix.trace import alarms_wrong, faults_found, first_red, trace
from tests.matrix.world import HOUR, world

pytestmark = pytest.mark.no_cover  # hours of simulated work: being measured would double their time, and others cover the same code

NAMES = {fault.name for fault in FAULTS}


@pytest.mark.parametrize("name", [fault.name for fault in FAULTS])
def test_a_fault_is_answered_and_heals(name: str) -> None:
    """(a) Meant alarms within three of their windows, no other; (b) every document DONE in the end; (c) conservation; (d) the cap on reads."""
    assert faults_found(trace(name)) == []


def test_every_alarm_is_for_a_fault_and_every_fault_is_known() -> None:
    """No alarm without a fault that proves it, none that names a fault nobody injects; what may also answer really does."""
    for alarm in ALARMS:
        assert alarm.faults, alarm.name
        assert set(alarm.faults) | set(alarm.also) <= NAMES
        assert not set(alarm.faults) & set(alarm.also)
        assert [name for name in alarm.also if first_red(alarm, trace(name)) is None] == [], alarm.name


def test_cards_that_read_nothing_are_a_cost() -> None:
    """With a budget of 240 USD a month, three hourly shares of which are about one: a card is beyond that, the functions alone are not."""
    seen = trace("gpu-reads-nothing")
    with_cards, without = (replace(alarm, threshold=3 * 240 / 730) for alarm in (cost_per_hour(2.242), cost_per_hour()))
    came = first_red(with_cards, seen)
    assert came is not None
    assert came <= with_cards.window
    assert not is_red(with_cards, seen.store, seen.ended)
    assert [change for change in changes(without, seen.store, seen.warm, seen.ended) if change.red] == []


def loosened(alarm: Alarm) -> Alarm:
    """With a threshold ten times further away; 10 where it was zero."""
    looser = alarm.threshold / 10 if alarm.below else alarm.threshold * 10 if alarm.threshold else 10
    return replace(alarm, threshold=looser)


@pytest.mark.parametrize("alarm", ALARMS, ids=[alarm.name for alarm in ALARMS])
def test_no_alarm_is_needless_or_too_strict(alarm: Alarm) -> None:
    """Without it, and with its threshold ten times looser, the matrix turns red: the recorded traces are evaluated again."""
    rest = tuple(other for other in ALARMS if other is not alarm)
    traces = [trace(name) for name in alarm.faults]
    assert any(alarms_wrong(seen, rest) for seen in traces)
    assert any(alarms_wrong(seen, (*rest, loosened(alarm))) for seen in traces)


def test_a_healthy_day_is_quiet() -> None:
    """24 hours with two bursts, an ordinary stream and an idle night: no alarm, everything DONE, no page read twice, nothing sent again."""
    with world() as here:
        here.stream(HOUR)
        began = here.simulation.now
        for hours, every, burst in ((7, 0, 0), (2, 300, 0), (1, 60, 40), (4, 600, 0), (1, 30, 100), (5, 300, 0), (4, 0, 0)):
            for _ in range(burst):
                here.upload("tttoo")
            if every:
                here.stream(hours * HOUR, every)
            else:
                here.simulation.run(hours * HOUR)
        assert here.simulation.now - began == 24 * HOUR
        assert [change for alarm in ALARMS for change in changes(alarm, here.store, began, here.simulation.now)] == []
        assert {document.state for document in here.documents() if document} == {"DONE"}
        assert len(here.documents()) > 400
        assert set(here.reader.reads_of.values()) == {1}
        assert here.violations == []
        assert not [fields for _, event, fields in here.meter.events if event.endswith("sent again")]


def test_a_healthy_day_of_the_gpu_service_is_quiet() -> None:
    """A stream, a burst, an idle night and a single document: no alarm, every hard page read by it and once, and at the end it is gone."""
    with world(gpu=True) as here:
        began = here.simulation.now
        for hours, every, burst in ((2, 300, 0), (1, 600, 60), (4, 0, 0), (2, 0, 1)):
            for _ in range(burst):
                here.upload("thhho")
            if every:
                here.stream(hours * HOUR, every)
            else:
                here.simulation.run(hours * HOUR)
        assert [change for alarm in ALARMS for change in changes(alarm, here.store, began + 2 * HOUR, here.simulation.now)] == []
        assert {document.state for document in here.documents() if document} == {"DONE"}
        assert here.fleet.read_pages == len(here.vision.asked) > 180
        assert (here.fleet.wanted, here.fleet.fleet, here.fleet.killed) == (0, [], 0)
        assert here.violations == []
