"""The alarms of the GPU service: hard pages wait while these are red and keep their CPU reading in the end, so none of them wakes anybody.

Where a deployment has no such service nothing is ever put into its queue, and they stay green.
"""

from __future__ import annotations

from escriba.alarms.kinds import Alarm, of_queue, ours
from escriba.alarms.stopped import stalled

_QUARTER, _QUARTERS = 300, 4
"""Twenty minutes in four windows, each of which must tell the same: a task that is being replaced lasts for one or two."""

GPU: tuple[Alarm, ...] = (
    stalled(
        "vision",
        "the GPU service",
        meaning="the oldest message of the vision queue is older than 15 minutes, and none has been completed in as long",
        causes="the GPU service has no tasks, or they start and die, or run and complete nothing",
        todo="look at the two alarms below it, which say which of these it is; hard pages wait four days, and keep their CPU reading when their time is over",
        faults=("gpu-none-to-rent", "gpu-reads-nothing"),
        also=(),
        pages=False,
    ),
    Alarm(
        name="gpu-service-absent",
        metrics={
            "waiting": of_queue("ApproximateNumberOfMessagesVisible", "vision", "Maximum"),
            "running": ours("GpuTasksRunning", "Maximum"),
            "deleted": of_queue("NumberOfMessagesDeleted", "vision", "Sum"),
        },
        # A box of one's own completes pages without being counted.
        expression="IF(FILL(running, 0) < 1, IF(FILL(deleted, 0) < 1, FILL(waiting, 0), 0), 0)",
        threshold=0,
        period=_QUARTER,
        periods=_QUARTERS,
        datapoints=_QUARTERS,
        meaning="hard pages have waited for 20 minutes, no task of the GPU service has run, and none has been completed",
        causes="no GPU instance to be had (quota, spot); the image or the weights are not in the account",
        todo="the service's events in the ECS console name what is lacking; ask for the quota, name more instance_types, or set spot to false",
        faults=("gpu-none-to-rent",),
    ),
    Alarm(
        name="gpu-service-idle",
        metrics={
            "backlog": ours("VisionBacklog", "Maximum"),
            "running": ours("GpuTasksRunning", "Maximum"),
            "deleted": of_queue("NumberOfMessagesDeleted", "vision", "Sum"),
        },
        expression="IF(FILL(running, 0) > 0, IF(FILL(deleted, 0) < 1, FILL(backlog, 0), 0), 0)",
        threshold=0,
        period=_QUARTER,
        periods=_QUARTERS,
        datapoints=_QUARTERS,
        meaning="tasks of the GPU service have run for 20 minutes, and are paid for, without completing a page, while pages wait",
        causes="the model's server does not come up or has hung; the worker cannot reach the ledger or the bucket (an endpoint, a permission)",
        todo="the logs of the two containers, server and worker, say which; docs/operations.md says how to stop paying while you mend it",
        faults=("gpu-reads-nothing",),
    ),
)
