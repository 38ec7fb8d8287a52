"""Measures what the GPU service is scaled by: the pages that wait for it, its tasks, and how many pages there are to each."""

from __future__ import annotations

from escriba.errors import ConfigurationError
from escriba.ports import Ports

QUEUE = "vision"


def measure_gpu_service(ports: Ports) -> None:
    """Publish the figures of this moment.

    Asking the queue has a use of its own: SQS takes one that nobody has asked for six hours for inactive, and then tells CloudWatch of new messages
    up to a quarter of an hour late. Source: "Available CloudWatch metrics for Amazon SQS" in its developer guide.
    """
    if ports.gpu_service is None:
        raise ConfigurationError("nothing names the GPU service that is to be measured: set ESCRIBA_GPU_SERVICE to CLUSTER/SERVICE")
    backlog, tasks = ports.queues[QUEUE].depth().total, ports.gpu_service.tasks()
    ports.meter.count("VisionBacklog", backlog)
    ports.meter.count("GpuTasksWanted", tasks.wanted)
    ports.meter.count("GpuTasksRunning", tasks.running)
    if tasks.wanted:
        # Among those asked for, not those that run: while a task starts, what it will read must not have another one started. With none there
        # is nothing to share among, and the first is started by SQS's own metric.
        ports.meter.count("VisionBacklogPerTask", backlog / tasks.wanted)
