"""How the alarms stand: CloudWatch's word in a deployment; in a local run our own evaluation of what its functions counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from escriba.alarms import ALARMS, OURS, Alarm
from escriba.aws.clients import client
from escriba.local.alarm_evaluator import changes
from escriba.local.metrics import MINUTE, MetricStore
from escriba.local.pipeline import STATE_DIRECTORY

_LOOK_BACK = timedelta(hours=24)
_RUNS_LOOK_BACK = timedelta(hours=3)
_RUNS_PERIOD = 300
_SCHEDULED = {"ReconcilerRuns", "CanaryRuns", "CanaryFailures"}
"""What only functions on a schedule count: none of them runs by itself in a local run."""
LOCAL = tuple(
    alarm
    for alarm in ALARMS
    if all(metric.namespace == OURS and not metric.dimensions and metric.name not in _SCHEDULED for metric in alarm.metrics.values())
)
"""Alarms that make sense in a local run: those on what its functions count themselves."""


@dataclass(frozen=True)
class AlarmState:
    """`state` is red, green or unknown; `since` and `last_red` are seconds since 1970, 0 where that is not known or never was."""

    name: str
    state: str
    since: float = 0.0
    last_red: float = 0.0

    @property
    def alarm(self) -> Alarm | None:
        """What stands behind it; None for one that is not of `escriba.alarms`."""
        return next((alarm for alarm in ALARMS if alarm.name == self.name), None)


@dataclass(frozen=True)
class LastRun:
    """When a scheduled function last finished (seconds since 1970, 0: not lately), and what it then found wrong."""

    name: str
    at: float
    failures: int = 0


def local_alarms(folder: Path, now: float) -> list[AlarmState]:
    """The alarms of `LOCAL` over the last day of a local run's telemetry."""
    store = MetricStore()
    telemetry = folder / STATE_DIRECTORY / "telemetry.jsonl"
    if telemetry.is_file():
        with telemetry.open(encoding="utf-8") as lines:
            store.add_emf(lines)
    # The minute under way counts: in a run of seconds there is no other.
    until = (now // MINUTE + 1) * MINUTE
    return [_over_a_day(alarm, store, until) for alarm in LOCAL]


def _over_a_day(alarm: Alarm, store: MetricStore, until: float) -> AlarmState:
    seen = list(changes(alarm, store, until - _LOOK_BACK.total_seconds(), until))
    if not seen:
        return AlarmState(alarm.name, "green")
    return AlarmState(alarm.name, "red" if seen[-1].red else "green", seen[-1].at, max(change.at for change in seen if change.red))


def stack_alarms(stage: str) -> list[AlarmState]:
    """Every alarm that CloudWatch has of a stage, by our names."""
    prefix = f"escriba-{stage}-"
    words = {"ALARM": "red", "OK": "green"}
    pages = (
        client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=prefix, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    )
    return [
        AlarmState(found["AlarmName"].removeprefix(prefix), words.get(found["StateValue"], "unknown"), _since(found))
        for page in pages
        for found in [*page.get("CompositeAlarms", ()), *page.get("MetricAlarms", ())]
    ]


def _since(found: Any) -> float:
    moment = found.get("StateTransitionedTimestamp") or found.get("StateUpdatedTimestamp")
    return moment.timestamp() if moment is not None else 0.0


def last_runs(stage: str) -> list[LastRun]:
    """Of the canary and the reconciler, from their own metrics."""
    canary, reconciler = _points(stage, "CanaryRuns"), _points(stage, "ReconcilerRuns")
    at = _latest(canary)
    failures = sum(point["Sum"] for point in _points(stage, "CanaryFailures") if point["Timestamp"].timestamp() == at)
    return [LastRun("canary", at, round(failures)), LastRun("reconciler", _latest(reconciler))]


def _points(stage: str, metric: str) -> Sequence[Any]:
    now = datetime.now(UTC)
    answer: Any = client("cloudwatch").get_metric_statistics(
        Namespace=f"{OURS}/{stage}",
        MetricName=metric,
        StartTime=now - _RUNS_LOOK_BACK,
        EndTime=now + timedelta(minutes=1),  # the minute under way too
        Period=_RUNS_PERIOD,
        Statistics=["Sum"],
    )
    return [point for point in answer["Datapoints"] if point["Sum"] or metric == "CanaryFailures"]


def _latest(points: Sequence[Any]) -> float:
    return max((point["Timestamp"].timestamp() for point in points), default=0.0)
