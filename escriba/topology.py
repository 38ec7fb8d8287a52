"""The pipeline's shape as data: queues, functions, timeouts and batch sizes, read by the CDK stacks and by the local dispatcher."""

from __future__ import annotations

from dataclasses import dataclass, replace

DAY = 86_400
MAX_FAILURES = 3
"""Real failures of one page, counted in the ledger, after which its message goes to the dead-letter queue."""
MAX_TIMEOUTS = 2
"""The same for a page that took too long: it has cost its limit each time, and will again."""
PAGES_PER_TEXT_MESSAGE = 50
"""Text-layer pages packed into one message; OCR pages travel one by one."""
PAGES_PER_SPLIT = 500
"""Pages that one split invocation plans before it hands the rest to its successor."""
UPGRADE_WINDOW = 60
"""Seconds for which late improvements of a delivered document are gathered into one new revision."""

WATCH = "watch"
"""The ledger's index of documents that somebody still has to look at, and the attribute (by `received_at`) that puts them there."""
MAX_RESENDS = 3
"""How often the reconciler sends a lost message again before its page is given up."""


@dataclass(frozen=True)
class QueueSpec:
    """A standard queue; each has its own dead-letter queue `<name>-dlq`. Times in seconds."""

    name: str
    visibility: float
    max_receives: int = 3
    retention: int = 4 * DAY
    dead_letters: bool = True

    @property
    def dead_letter_name(self) -> str:
        return f"{self.name}-dlq"


@dataclass(frozen=True)
class FunctionSpec:
    """A Lambda function and the queues it consumes. `timeout` in seconds, `memory` in MiB; the handler is `lambdas.<name>.handler`.

    One that consumes nothing runs `every` so many seconds; one that `waits` does so for others, and keeps no processor busy meanwhile.
    """

    name: str
    consumes: tuple[str, ...]
    timeout: float
    memory: int
    batch_size: int = 1
    max_concurrency: int = 2
    every: float = 0
    waits: bool = False


@dataclass(frozen=True)
class ServiceSpec:
    """A service on ECS whose tasks rent a GPU, and the queues they consume; none runs while these are empty. Times in seconds.

    It grows by a task for each `backlog_per_task` pages that wait, up to `max_tasks`, and ends when nothing has waited or been under way for
    `idle`. A task takes up to `start` until it reads, and has `stop` to finish or give back what it holds. The function that `measured` names is
    deployed with the service and no other way: it publishes what the service is scaled by.
    """

    name: str
    consumes: tuple[str, ...]
    max_tasks: int
    backlog_per_task: int
    idle: float
    start: float
    stop: float
    measured: FunctionSpec


@dataclass(frozen=True)
class Topology:
    """Every queue (its dead-letter queues included by `all_queues`), every function, and the services that a deployment may have."""

    queues: tuple[QueueSpec, ...]
    functions: tuple[FunctionSpec, ...]
    services: tuple[ServiceSpec, ...] = ()

    def all_queues(self) -> tuple[QueueSpec, ...]:
        """Sources first, then their dead-letter queues, which have the visibility of the function that drains them."""
        drained = {name: f.timeout for f in self.functions for name in f.consumes}
        letters = tuple(
            QueueSpec(q.dead_letter_name, 6 * drained.get(q.dead_letter_name, 60), retention=14 * DAY, dead_letters=False)
            for q in self.queues
            if q.dead_letters
        )
        return self.queues + letters

    def all_functions(self) -> tuple[FunctionSpec, ...]:
        """Those of every deployment, then those that come with a service."""
        return self.functions + tuple(service.measured for service in self.services)

    def queue(self, name: str) -> QueueSpec:
        return next(q for q in self.all_queues() if q.name == name)

    def scaled(self, factor: float) -> Topology:
        """The same shape with every visibility and timeout multiplied: minutes become seconds in tests on a real clock."""
        return Topology(
            tuple(replace(q, visibility=q.visibility * factor) for q in self.queues),
            tuple(replace(f, timeout=f.timeout * factor) for f in self.functions),
            self.services,
        )


_LETTERS = ("intake-dlq", "pages-dlq", "vision-api-dlq", "vision-dlq", "assemble-dlq")
# A visibility timeout is six times its consumer's timeout, as AWS advises, so that a throttled batch is not received again while it runs.
TOPOLOGY = Topology(
    queues=(
        QueueSpec("intake", visibility=6 * 120),
        QueueSpec("pages", visibility=6 * 120),
        QueueSpec("vision-api", visibility=6 * 180, max_receives=20),
        # Short: the GPU service says every so often that it still works on a page, and a task that dies says nothing more.
        QueueSpec("vision", visibility=120, max_receives=20),
        QueueSpec("assemble", visibility=6 * 300),
    ),
    functions=(
        FunctionSpec("assemble_document", ("assemble",), timeout=300, memory=2048, max_concurrency=20),
        FunctionSpec("read_with_api", ("vision-api",), timeout=180, memory=1024, max_concurrency=20, waits=True),
        FunctionSpec("recognise_pages", ("pages",), timeout=120, memory=3008, max_concurrency=200),
        FunctionSpec("split_document", ("intake",), timeout=120, memory=2048, max_concurrency=20),
        FunctionSpec("quarantine", _LETTERS, timeout=60, memory=512, batch_size=10),
        FunctionSpec("reconcile", (), timeout=240, memory=1024, every=300),
        FunctionSpec("canary", (), timeout=60, memory=1024, every=900),
    ),
    services=(
        ServiceSpec(
            "gpu_service",
            ("vision",),
            max_tasks=4,
            backlog_per_task=600,
            idle=900,
            start=300,
            stop=110,
            measured=FunctionSpec("measure_gpu_service", (), timeout=30, memory=256, every=60),
        ),
    ),
)
