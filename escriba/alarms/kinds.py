"""What an alarm is made of.

Names in `dimensions` are the topology's (`TABLE` for the ledger); the stacks put the physical ones in their place. Expressions are CloudWatch metric math.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from escriba.topology import TOPOLOGY

OURS = "Escriba"
"""Namespace of what our functions emit; a deployment's carries its stage behind a slash."""
TABLE = "ledger"
FUNCTIONS = {spec.name.split("_")[0]: spec for spec in TOPOLOGY.functions}
"""Every function by a short name that an expression can use."""

Missing = Literal["breaching", "notBreaching"]


@dataclass(frozen=True)
class Metric:
    """One metric; `statistic` over the alarm's period. One without dimensions is ours."""

    name: str
    statistic: Literal["Sum", "Maximum"]
    namespace: str = OURS
    dimensions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Alarm:
    """Red when `expression` over `metrics` (by their ids) passes `threshold` in `datapoints` of the last `periods`, each of `period` seconds.

    `faults` are those it is for, `also` those it may answer to; `pages` whether it wakes somebody, as part of "pipeline stopped".
    """

    name: str
    metrics: dict[str, Metric]
    expression: str
    threshold: float
    period: int
    meaning: str
    causes: str
    todo: str
    faults: tuple[str, ...]
    also: tuple[str, ...] = ()
    below: bool = False
    periods: int = 1
    datapoints: int = 1
    missing: Missing = "notBreaching"
    pages: bool = False
    unit: str = field(default="")

    @property
    def window(self) -> int:
        """Seconds of data that one evaluation sees."""
        return self.period * self.periods


def ours(name: str, statistic: Literal["Sum", "Maximum"] = "Sum") -> Metric:
    """One that our functions emit."""
    return Metric(name, statistic)


def of_queue(name: str, queue: str, statistic: Literal["Sum", "Maximum"]) -> Metric:
    """One that SQS measures."""
    return Metric(name, statistic, "AWS/SQS", (("QueueName", queue),))


def of_function(name: str, function: str, statistic: Literal["Sum", "Maximum"] = "Sum") -> Metric:
    """One that Lambda measures."""
    return Metric(name, statistic, "AWS/Lambda", (("FunctionName", function),))


def summed(metric: str) -> tuple[dict[str, Metric], str]:
    """A metric of every function, and the expression of their sum."""
    return {short: of_function(metric, spec.name) for short, spec in FUNCTIONS.items()}, " + ".join(
        f"FILL({short}, 0)" for short in FUNCTIONS
    )
