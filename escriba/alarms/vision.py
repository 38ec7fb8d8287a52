"""The alarms of the vision models, wherever they run: hard pages keep their CPU reading while these are red, so none of them wakes anybody."""

from __future__ import annotations

from escriba.alarms.kinds import Alarm, ours
from escriba.alarms.stopped import stalled

VISION: tuple[Alarm, ...] = (
    stalled(
        "vision-api",
        "read_with_api",
        meaning="the oldest message of the vision-api queue is older than 15 minutes, and none has been completed in as long",
        todo="look at the log of read_with_api and enable its mapping; meanwhile hard pages are delivered with their CPU reading, and read better once it runs",
        faults=("vision-mapping-disabled",),
        also=("completions-lost",),
        pages=False,
    ),
    Alarm(
        name="vision-failing",
        metrics={"failures": ours("VisionFailures")},
        expression="FILL(failures, 0)",
        threshold=3,
        period=1800,
        meaning="a vision backend fails, is too slow or cannot be reached; hard pages keep their CPU reading, DEGRADED",
        causes="the endpoint is down or overloaded; its key has expired; the network between",
        todo="the log of read_with_api, or of the GPU service's worker, names the backend and what it answered; take one that is not your own out with paused = true while it is mended",
        faults=("vision-failing", "vision-hanging", "vision-absent", "gpu-server-dies"),
    ),
    Alarm(
        name="vision-refused",
        metrics={"refusals": ours("VisionRefusals"), "questions": ours("VisionQuestions")},
        expression="IF(FILL(questions, 0) > 9, 100 * FILL(refusals, 0) / FILL(questions, 1), 0)",
        threshold=50,
        period=1800,
        unit="%",
        meaning="more than half of what the vision models answer is not believed: it is paid for and thrown away",
        causes="another model than the registry's behind the endpoint; documents of a kind that it cannot read; a broken deployment of the model",
        todo="the log of read_with_api names the guards that refuse; compare with escriba eval guards, or name another model in the policy",
        faults=("vision-nonsense",),
    ),
)
