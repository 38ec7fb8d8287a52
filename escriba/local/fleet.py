"""A service of GPU tasks on a simulated clock: alarms move its policies, tasks start, read, are protected while they do, and are taken away.

It stands in for CloudWatch's alarms, Application Auto Scaling and ECS between the queue and the pages that are read; what each does is said in its
guide: an alarm in ALARM acts once a minute; a policy that adds counts what it added within its cooldown; ECS ends no task that is protected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from escriba.alarms import OURS
from escriba.alarms.scaling import Scaling
from escriba.local.alarm_evaluator import datapoint, is_red
from escriba.local.metrics import MINUTE
from escriba.local.simulation import Simulation
from escriba.ports import Delivery, Tasks
from escriba.topology import ServiceSpec

_POLL = 5.0
_HEARTBEAT = 60.0
SQS_LATE, OURS_LATE = 120.0, 60.0
"""Seconds after which CloudWatch knows what SQS measures (a minute or two), and what our function has counted."""


@dataclass
class Task:
    """One task: what it has in hand, by receipt, with when each page will be read."""

    ready_at: float
    held: dict[str, float] = field(default_factory=dict)
    state: str = "starting"


@dataclass(frozen=True)
class Pace:
    """How a task reads: `at_once` pages at the same time, each of which takes `seconds`."""

    at_once: int = 16
    seconds: float = 16.0

    @property
    def rate(self) -> float:
        """Pages a second of one busy task."""
        return self.at_once / self.seconds


class Fleet:
    """Implements `ports.Service`. `read` does a page's work and says whether it is done; `policies` name the metrics as CloudWatch has them.

    `killed` counts pages that were in hand when a task was taken away to save money; `rentable` is how many cards are to be had; with `guarded`
    off tasks do not say that they are busy.
    """

    def __init__(
        self,
        simulation: Simulation,
        spec: ServiceSpec,
        policies: Sequence[Scaling],
        measure: Callable[[], None],
        *,
        read: Callable[[Delivery], bool] = lambda _: True,
        pace: Pace = Pace(),
        namespace: str = OURS,
        guarded: bool = True,
    ) -> None:
        self._simulation, self._spec, self._policies, self._measure = simulation, spec, policies, measure
        self._queue = simulation.queues[spec.consumes[0]]
        self._read, self.pace, self.namespace, self.guarded = read, pace, namespace, guarded
        self.wanted = 0
        self.rentable = spec.max_tasks
        self.reading = True
        self.fleet: list[Task] = []
        self.read_pages = self.killed = self.most = 0
        self.task_seconds = 0.0
        self._scaled: dict[str, tuple[float, int]] = {}
        self._beat = 0.0
        self._deleted = 0
        simulation.on_minute.append(self._minute)
        simulation.at(_POLL, self._poll)

    def tasks(self) -> Tasks:
        return Tasks(self.wanted, sum(task.state == "reading" for task in self.fleet))

    def lose(self, task: Task, *, notice: bool = True) -> None:
        """Its instance is taken back. With notice it finishes what it can within the time that it has, and gives the rest back."""
        task.state = "leaving"
        if notice:
            last = self._simulation.now + self._spec.stop
            for receipt, done_at in list(task.held.items()):
                if done_at > last:
                    del task.held[receipt]
                    self._queue.change_visibility(receipt, 0)
            self._simulation.at(self._spec.stop, lambda: self._gone(task))
        else:
            self._gone(task)

    def _gone(self, task: Task) -> None:
        task.held.clear()
        if task in self.fleet:
            self.fleet.remove(task)

    # --- once a minute: what is measured, what the alarms say, what ECS does ---

    def _minute(self) -> None:
        depth, queue, now = self._queue.depth(), self._queue.name, self._simulation.now
        measured = {"ApproximateNumberOfMessagesVisible": depth.visible, "ApproximateNumberOfMessagesNotVisible": depth.in_flight}
        for name, value in {**measured, "NumberOfMessagesDeleted": self._deleted}.items():
            self._later(SQS_LATE, "AWS/SQS", name, value, QueueName=queue)
        self._deleted = 0
        self._simulation.at(1, self._measure)
        self.task_seconds += MINUTE * len(self.fleet)
        if now - self._beat >= _HEARTBEAT:
            self._beat = now
            for task in self.fleet:
                for receipt in task.held:
                    self._queue.change_visibility(receipt, 120)
        for policy in self._policies:
            if is_red(policy.alarm, self._simulation.store, now):
                self._scale(policy, now)
        self._settle()

    def _later(self, late: float, namespace: str, name: str, value: float, **dimensions: str) -> None:
        store = self._simulation.store
        self._simulation.at(late, lambda: store.add(namespace, name, value, self._simulation.now, **dimensions))

    def count(self, name: str, value: float) -> None:
        """A metric that our function has counted, which CloudWatch knows a little later."""
        self._later(OURS_LATE, self.namespace, name, value)

    def _scale(self, policy: Scaling, now: float) -> None:
        alarm = policy.alarm
        value = datapoint(alarm, self._simulation.store, now - alarm.period, now)
        if value is None:
            return
        beyond = value - alarm.threshold
        fitting = [step.tasks for step in policy.steps if (beyond <= step.beyond if alarm.below else beyond >= step.beyond)]
        if not fitting:
            return
        change = fitting[-1] if policy.how == "ChangeInCapacity" else fitting[-1] - self.wanted
        at, added = self._scaled.get(alarm.name, (-policy.cooldown, 0))
        cooling = now < at + policy.cooldown
        if change < 0 and cooling:
            return
        if change > 0 and cooling:
            change = max(0, change - added)
        after = min(max(self.wanted + change, 0), self._spec.max_tasks)
        if after != self.wanted:
            self._scaled[alarm.name] = now, after - self.wanted + (added if cooling else 0)
            self.wanted = after
            self.most = max(self.most, after)

    def _settle(self) -> None:
        """ECS: start what is lacking, as far as cards are to be had; end what is too much, but for what is protected."""
        here = [task for task in self.fleet if task.state != "leaving"]
        for _ in range(min(self.wanted, self.rentable) - len(here)):
            task = Task(self._simulation.now + self._spec.start)
            self.fleet.append(task)
            self._simulation.at(self._spec.start, lambda task=task: self._begin(task))  # type: ignore[misc]
        free = [task for task in here if task.state == "starting"] + [
            task for task in here if task.state == "reading" and not (task.held and self.guarded)
        ]
        for task in free[: max(0, len(here) - self.wanted)]:
            self.killed += len(task.held)
            self._gone(task)

    # --- the tasks ---

    def _begin(self, task: Task) -> None:
        if task in self.fleet and task.state == "starting":
            task.state = "reading"
            self._take(task)

    def _poll(self) -> None:
        for task in self.fleet:
            self._take(task)
        self._simulation.at(_POLL, self._poll)

    def _take(self, task: Task) -> None:
        while task.state == "reading" and self.reading and (free := self.pace.at_once - len(task.held)) > 0:
            deliveries = self._queue.receive(min(10, free))
            if not deliveries:
                return
            for delivery in deliveries:
                task.held[delivery.receipt] = self._simulation.now + self.pace.seconds
                self._simulation.at(self.pace.seconds, lambda delivery=delivery: self._finish(task, delivery))  # type: ignore[misc]

    def _finish(self, task: Task, delivery: Delivery) -> None:
        if task.held.pop(delivery.receipt, None) is None:
            return  # given back, or gone with its task
        if self._read(delivery):
            self.read_pages += 1
            self._deleted += 1
            self._queue.delete(delivery.receipt)
        self._take(task)
        if not task.held:
            self._settle()
