"""The alarms by which a service's tasks come and go: each moves a step scaling policy and is told to nobody.

Read by the Gpu stack, and by the simulation that proves it. Semantics of steps and cooldowns: "Step scaling policies for Application Auto Scaling" in
its user guide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from escriba.alarms.kinds import Alarm, Metric, of_queue, ours
from escriba.topology import ServiceSpec

MOST_TASKS = 20
"""A policy takes no more steps than this."""
_LATE = 180
"""Seconds within which what a policy has done shows in the metrics that it looks at, and for which the last figure of a metric stands."""
_HARDLY = 0.1
"""Below this share of `backlog_per_task` for all of `idle`, one task fewer would do."""


@dataclass(frozen=True)
class Step:
    """From `beyond` the alarm's threshold on (its metric less the threshold; up to where the next step begins), change the tasks by or to `tasks`."""

    beyond: float
    tasks: int


@dataclass(frozen=True)
class Scaling:
    """What an alarm does to the number of tasks while it is red, once a minute; `cooldown` in seconds.

    A policy that adds counts what it added within its cooldown; one that takes away waits until its cooldown is over. The steps of an alarm that
    goes when its metric is below have one step only, for all that is below.
    """

    alarm: Alarm
    how: Literal["ChangeInCapacity", "ExactCapacity"]
    steps: tuple[Step, ...]
    cooldown: int


def scalings(spec: ServiceSpec) -> tuple[Scaling, ...]:
    """The policies of a service that reads one queue: from zero, out, in, and to zero."""
    [queue] = spec.consumes
    waiting, in_flight = (of_queue(f"ApproximateNumberOfMessages{name}", queue, "Maximum") for name in ("Visible", "NotVisible"))
    wanted, share = ours("GpuTasksWanted", "Maximum"), ours("VisionBacklogPerTask", "Maximum")
    hardly = spec.backlog_per_task * _HARDLY
    return (
        Scaling(
            # SQS's own metric, so that pages are read even if nobody measures the service: it then grows by a task each cooldown, which is dear
            # and not deadly. What waits is not filled in: SQS tells it minutes late, and noughts in its place would keep the alarm green.
            _alarm("from-zero", {"wanted": wanted, "waiting": waiting}, "IF(FILL(wanted, 0) < 1, waiting, 0)", 0, _LATE),
            "ChangeInCapacity",
            tuple(Step(n * spec.backlog_per_task, n + 1) for n in range(spec.max_tasks)),
            _LATE,
        ),
        Scaling(
            _alarm("out", {"share": share}, "share", spec.backlog_per_task, 60),
            "ChangeInCapacity",
            tuple(Step(n * spec.backlog_per_task, n + 1) for n in range(max(spec.max_tasks - 1, 1))),
            _LATE,
        ),
        Scaling(
            _alarm(
                "in",
                {"wanted": wanted, "share": share},
                f"IF(FILL(wanted, 0) > 1, FILL(share, {hardly:g}), {hardly:g})",
                hardly,
                round(spec.idle),
                below=True,
            ),
            "ChangeInCapacity",
            (Step(0, -1),),
            # Until the tasks of before have left the alarm's window, or the last but one would be taken for two, and the last one go too.
            round(spec.idle) + _LATE,
        ),
        Scaling(
            # All of SQS, told at the same time: a message on its way from the one to the other is in one of them. What was completed counts too, for
            # the first two are samples: a page that comes and goes between two of them shows in neither, and a trickle would cost a start each time.
            _alarm(
                "to-zero",
                {"waiting": waiting, "inflight": in_flight, "done": of_queue("NumberOfMessagesDeleted", queue, "Sum")},
                "waiting + inflight + FILL(done, 0)",
                1,
                round(spec.idle),
                below=True,
            ),
            "ExactCapacity",
            (Step(0, 0),),
            _LATE,
        ),
    )


def _alarm(name: str, metrics: dict[str, Metric], expression: str, threshold: float, period: int, *, below: bool = False) -> Alarm:
    return Alarm(
        name=f"gpu-service-{name}",
        metrics=metrics,
        expression=expression,
        threshold=threshold,
        period=period,
        below=below,
        meaning=f"the GPU service goes {name.replace('-', ' ')}",
        causes="",
        todo="nothing: this is how it scales",
        faults=(),
    )
