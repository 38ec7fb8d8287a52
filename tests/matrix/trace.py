"""Runs a fault through and keeps what a judgement needs: the metrics, the moments, and what became of the documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from escriba.alarms import ALARMS, Alarm
from escriba.local.alarm_evaluator import changes, is_red
from escriba.local.metrics import MetricStore
from tests.matrix.faults import FAULTS, Fault
from tests.matrix.world import HOUR, MINUTE, World, world

BEFORE, AFTER = HOUR, 4 * HOUR
"""Seconds of the ordinary stream before a fault, and of quiet after it."""
PATIENCE = 3
"""Windows of its own within which an alarm must answer to a fault."""


@dataclass(frozen=True)
class Trace:
    """What one fault left behind. `ends` counts the documents by state; `reads` is the most often any page was read."""

    fault: Fault
    store: MetricStore
    warm: float
    began: float
    ended: float
    ends: Counter[str]
    violations: tuple[str, ...]
    reads: int
    redriven: int
    reds: dict[tuple[str, float], float | None] = field(default_factory=dict)


@cache
def trace(name: str) -> Trace:
    """The fault's trace on the in-memory adapters, made once a process."""
    fault = next(fault for fault in FAULTS if fault.name == name)
    with world(gpu=fault.gpu) as here:
        return run_through(fault, here)


def run_through(fault: Fault, here: World, after: float = AFTER) -> Trace:
    """The ordinary stream, the fault, its end, an hour of the stream, `after` seconds of quiet, and a redrive where one is documented."""
    warm = here.simulation.now + BEFORE
    here.stream(BEFORE)
    began = here.simulation.now
    heal = fault.begin(here)
    here.stream(fault.minutes * MINUTE, fault.every, (lambda: fault.upload(here)) if fault.upload else None)
    heal()
    here.stream(HOUR)
    here.simulation.run(after)
    redriven = 0
    if fault.redriven:
        redriven = here.redrive()
        here.simulation.run(HOUR)
    return Trace(
        fault,
        here.store,
        warm,
        began,
        here.simulation.now,
        Counter("UNKNOWN" if document is None else document.state for document in here.documents()),
        tuple(here.violations),
        max(here.reader.reads_of.values()),
        redriven,
    )


def first_red(alarm: Alarm, seen: Trace) -> float | None:
    """Seconds from the fault's beginning to the alarm's; None when it stays green."""
    key = alarm.name, alarm.threshold  # one alarm is asked for again for every other that is left out
    if key not in seen.reds:
        seen.reds[key] = next((change.at - seen.began for change in changes(alarm, seen.store, seen.warm, seen.ended) if change.red), None)
    return seen.reds[key]


def faults_found(seen: Trace, alarms: Sequence[Alarm] = ALARMS) -> list[str]:
    """What is wrong with a trace, a sentence each: (a) the alarms, (b) the ends, (c) conservation, (d) reads."""
    wrong = alarms_wrong(seen, alarms)
    wrong += [f"{alarm.name} is still red at the end" for alarm in alarms if is_red(alarm, seen.store, seen.ended)]
    if set(seen.ends) != {"DONE"}:
        wrong.append(f"documents ended {dict(seen.ends)}")
    if seen.redriven and not seen.fault.redriven:
        wrong.append("a redrive was needed")
    if seen.fault.honest and seen.violations:
        wrong.append(f"conservation: {seen.violations[0]}")
    if seen.reads > seen.fault.cap:
        wrong.append(f"a page was read {seen.reads} times, {seen.fault.cap} are allowed")
    return wrong


def alarms_wrong(seen: Trace, alarms: Sequence[Alarm] = ALARMS) -> list[str]:
    """Alarms meant for the fault that came late or never, and alarms that came unasked."""
    expected = {alarm.name for alarm in ALARMS if seen.fault.name in alarm.faults}
    wrong = [f"{name} is not there" for name in sorted(expected - {alarm.name for alarm in alarms})]
    for alarm in alarms:
        after = first_red(alarm, seen)
        if seen.fault.name in alarm.faults:
            if after is None or after > PATIENCE * alarm.window:
                wrong.append(f"{alarm.name} came {'never' if after is None else f'after {after / MINUTE:.0f} min'}")
        elif after is not None and seen.fault.name not in alarm.also:
            wrong.append(f"{alarm.name} came unasked after {after / MINUTE:.0f} min")
    return wrong
