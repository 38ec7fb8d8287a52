"""The scaling of the Gpu stack as its template has it, and a fleet that is moved by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from escriba.alarms import Alarm, Metric
from escriba.alarms.scaling import Scaling, Step
from escriba.local.fleet import Fleet, Pace
from escriba.local.metrics import MetricStore
from escriba.local.simulation import Simulation
from escriba.memory.clock import ManualClock
from escriba.memory.queue import MemoryQueue
from escriba.ports import Depth
from escriba.stages.measure_gpu_service import measure_gpu_service
from escriba.topology import TOPOLOGY, QueueSpec, ServiceSpec, Topology
from tests.infra.conftest import Template, of_type, queue_name

SPEC = TOPOLOGY.services[0]


def scalings_of(gpu: Template, core: Template) -> tuple[Scaling, ...]:
    """Every policy of the template with its alarm; queues by their short names, our namespace as it is deployed."""
    alarms = of_type(gpu, "CloudWatch::Alarm").values()
    return tuple(
        _scaling(gpu, core, name, policy, alarms) for name, policy in of_type(gpu, "ApplicationAutoScaling::ScalingPolicy").items()
    )


def _scaling(gpu: Template, core: Template, logical: str, policy: dict[str, Any], alarms: Any) -> Scaling:
    [alarm] = [alarm for alarm in alarms if alarm["AlarmActions"] == [{"Ref": logical}]]
    assert policy["PolicyType"] == "StepScaling"
    [target] = of_type(gpu, "ApplicationAutoScaling::ScalableTarget")
    assert policy["ScalingTargetId"] == {"Ref": target}
    steps = policy["StepScalingPolicyConfiguration"]
    below = alarm["ComparisonOperator"] == "LessThanThreshold"
    return Scaling(
        _alarm(core, policy["PolicyName"], alarm, below=below),
        steps["AdjustmentType"],
        tuple(_steps(steps["StepAdjustments"], below=below)),
        steps["Cooldown"],
    )


def _steps(adjustments: list[dict[str, Any]], *, below: bool) -> Sequence[Step]:
    """Without gaps: AWS takes them in no other way."""
    if below:
        [step] = adjustments
        assert "MetricIntervalLowerBound" not in step
        return [Step(step["MetricIntervalUpperBound"], step["ScalingAdjustment"])]
    ends = [step.get("MetricIntervalUpperBound") for step in adjustments]
    assert ends == [*(step["MetricIntervalLowerBound"] for step in adjustments[1:]), None]
    return [Step(step["MetricIntervalLowerBound"], step["ScalingAdjustment"]) for step in adjustments]


def _alarm(core: Template, name: str, alarm: dict[str, Any], *, below: bool) -> Alarm:
    [result] = [part for part in alarm["Metrics"] if "Expression" in part]
    stats = {part["Id"]: part["MetricStat"] for part in alarm["Metrics"] if "MetricStat" in part}
    [period] = {stat["Period"] for stat in stats.values()}
    return Alarm(
        name=name,
        metrics={key: _metric(core, stat) for key, stat in stats.items()},
        expression=result["Expression"],
        threshold=alarm["Threshold"],
        period=period,
        periods=alarm["EvaluationPeriods"],
        datapoints=alarm["DatapointsToAlarm"],
        missing=alarm["TreatMissingData"],
        below=below,
        meaning="",
        causes="",
        todo="",
        faults=(),
    )


def _metric(core: Template, stat: dict[str, Any]) -> Metric:
    exports = {output["Export"]["Name"]: output["Value"] for output in core["Outputs"].values() if "Export" in output}
    metric = stat["Metric"]
    dimensions = []
    for dimension in metric.get("Dimensions", ()):
        value = exports[dimension["Value"]["Fn::ImportValue"]]
        assert value["Fn::GetAtt"][1] == "QueueName"
        dimensions.append((dimension["Name"], queue_name(core, core["Resources"][value["Fn::GetAtt"][0]]["Properties"]["QueueName"])))
    return Metric(metric["MetricName"], stat["Stat"], metric["Namespace"], tuple(dimensions))


class ScalingWorld:
    """A queue, a fleet, a clock: pages come in by `burst`, time passes by `run`, minutes are counted from the beginning."""

    def __init__(
        self,
        policies: Sequence[Scaling],
        *,
        spec: ServiceSpec = SPEC,
        pace: Pace = Pace(),  # noqa: B008  (frozen)
        namespace: str,
        guarded: bool = True,
        measured: bool = True,
    ) -> None:
        clock = ManualClock()
        self.queue = MemoryQueue(QueueSpec("vision", TOPOLOGY.queue("vision").visibility), clock)
        self.store = MetricStore()
        self.simulation = Simulation(Topology((), ()), {"vision": self.queue}, {}, clock, self.store, lambda *_: 0, poll=600)
        self.fleet = Fleet(
            self.simulation, spec, policies, self._measure if measured else lambda: None, pace=pace, namespace=namespace, guarded=guarded
        )
        self.began, self.sent = self.simulation.now, 0
        self.history: list[tuple[float, int]] = []
        self.simulation.on_minute.append(lambda: self.history.append((self.minutes, len(self.fleet.fleet))))

    def _measure(self) -> None:
        measure_gpu_service(_Measured(self.queue, self.fleet))  # type: ignore[arg-type]  # of the ports it knows these three

    @property
    def minutes(self) -> float:
        return (self.simulation.now - self.began) / 60

    def burst(self, pages: int) -> None:
        """So many pages at once."""
        self.queue.send([str(self.sent + n) for n in range(pages)])
        self.sent += pages

    def run(self, minutes: float) -> None:
        """Let time pass."""
        self.simulation.run(60 * minutes)

    def drained(self, within: float) -> float:
        """Minutes until nothing is left, looked at every ten seconds; `within` when something is."""
        began = self.minutes
        while self.queue.depth().total and self.minutes - began < within:
            self.run(1 / 6)
        return self.minutes - began


class _Measured:
    """The ports as far as the measuring stage uses them; what it counts reaches CloudWatch late."""

    def __init__(self, queue: MemoryQueue, fleet: Fleet) -> None:
        self.queues, self.gpu_service, self.meter = {"vision": queue}, fleet, self
        self.count = fleet.count


def published() -> set[str]:
    """The metrics that our function publishes, asked of the function itself."""
    names: set[str] = set()

    class Noting:
        def tasks(self) -> Any:
            from escriba.ports import Tasks

            return Tasks(1, 1)

        def depth(self) -> Depth:
            return Depth(0, 0, 0)

        def count(self, name: str, value: float) -> None:
            names.add(name)

    noting = Noting()
    ports: Any = type("Some", (), {"queues": {"vision": noting}, "gpu_service": noting, "meter": noting})
    measure: Callable[[Any], None] = measure_gpu_service
    measure(ports)
    return names


def without(policies: Sequence[Scaling], name: str) -> tuple[Scaling, ...]:
    """All but one."""
    rest = tuple(policy for policy in policies if not re.search(rf"{name}$", policy.alarm.name))
    assert len(rest) == len(policies) - 1
    return rest
