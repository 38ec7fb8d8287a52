"""The alarms that wake somebody: each says that documents no longer come through, or that nobody would notice."""

from __future__ import annotations

from escriba.alarms.kinds import Alarm, of_queue, ours
from escriba.topology import TOPOLOGY

_LETTERS = [queue.dead_letter_name for queue in TOPOLOGY.queues]


def stalled(
    queue: str,
    function: str,
    *,
    faults: tuple[str, ...],
    also: tuple[str, ...],
    meaning: str = "",
    causes: str = "",
    todo: str = "",
    pages: bool = True,
) -> Alarm:
    """The alarm of a queue whose oldest message is old while nothing is completed."""
    return Alarm(
        name=f"stalled-{queue}",
        metrics={
            "age": of_queue("ApproximateAgeOfOldestMessage", queue, "Maximum"),
            "deleted": of_queue("NumberOfMessagesDeleted", queue, "Sum"),
        },
        expression="IF(FILL(deleted, 0) < 1, FILL(age, 0), 0)",
        threshold=900,
        period=900,
        unit="s",
        meaning=meaning or f"the oldest message of the {queue} queue is older than 15 minutes, and none has been completed in as long",
        causes=causes or f"the mapping of {function} is disabled, or {function} is throttled, or fails on every message",
        todo=todo
        or f"look at the log of {function} and at Lambda's throttles; enable the mapping; the messages wait, nothing is lost for four days",
        faults=faults,
        also=also,
        pages=pages,
    )


STOPPED: tuple[Alarm, ...] = (
    stalled(
        "intake",
        "split_document",
        faults=("split-mapping-disabled", "split-times-out"),
        also=("split-crashes", "results-bucket-failing", "ledger-throttled"),
    ),
    stalled(
        "pages",
        "recognise_pages",
        faults=("recognise-mapping-disabled", "recognise-throttled"),
        also=("ledger-throttled", "results-bucket-failing"),
    ),
    stalled("assemble", "assemble_document", faults=("assemble-mapping-disabled", "assemble-crashes"), also=("ledger-conflicts",)),
    Alarm(
        name="dead-letters-stuck",
        metrics={f"dlq{n}": of_queue("ApproximateAgeOfOldestMessage", name, "Maximum") for n, name in enumerate(_LETTERS)},
        expression="MAX([" + ", ".join(f"FILL(dlq{n}, 0)" for n in range(len(_LETTERS))) + "])",
        threshold=300,
        period=300,
        unit="s",
        meaning="a dead letter has been waiting for more than 5 minutes: the quarantine itself fails, and its document cannot be delivered",
        causes="quarantine is broken, throttled or without its mapping; the ledger cannot be written",
        todo="look at the log of quarantine; once it works again it takes the letters by itself, they are kept for 14 days",
        faults=("quarantine-fails",),
        also=("completions-lost",),
        pages=True,
    ),
    Alarm(
        name="conservation-violated",
        metrics={"violations": ours("ConservationViolations", "Maximum")},
        expression="FILL(violations, 0)",
        threshold=0,
        period=600,
        meaning="a document's pages do not add up: in = done + degraded + quarantined + waiting is broken",
        causes="a defect in Escriba, or a ledger that was edited by hand",
        todo="the reconciler's log names the document and the difference; keep its rows for a bug report, upload it again under another policy",
        faults=("counter-wrong",),
        pages=True,
    ),
    Alarm(
        name="canary-failed",
        metrics={"failures": ours("CanaryFailures")},
        expression="FILL(failures, 0)",
        threshold=0,
        period=1200,
        meaning="a small document sent through the real door did not come back, or came back wrong, within 15 minutes",
        causes="anything on the way: its log line says how far the document came",
        todo="look at the canary's log, then at the alarm of the place where it stopped",
        faults=("canary-wrong",),
        also=(
            "event-never-delivered",
            "split-crashes",
            "split-mapping-disabled",
            "recognise-mapping-disabled",
            "assemble-mapping-disabled",
            "recognise-throttled",
            "assemble-crashes",
            "messages-lost",
            "ledger-conflicts",
            "completions-lost",
        ),
        pages=True,
    ),
    Alarm(
        name="canary-silent",
        metrics={"runs": ours("CanaryRuns")},
        expression="FILL(runs, 0)",
        threshold=2,
        below=True,
        period=3600,
        missing="breaching",
        meaning="the canary, which goes every 15 minutes, went less than twice in an hour: a stop would not be noticed",
        causes="its schedule is disabled, or it fails before its end",
        todo="look at the schedule and at the log of canary",
        faults=("canary-stopped",),
        pages=True,
    ),
    Alarm(
        name="reconciler-silent",
        metrics={"runs": ours("ReconcilerRuns")},
        expression="FILL(runs, 0)",
        threshold=3,
        below=True,
        period=1800,
        missing="breaching",
        meaning="the reconciler, which runs every 5 minutes, ran less than three times in half an hour: lost work would not be found",
        causes="its schedule is disabled, it runs out of time, or it fails before its end",
        todo="look at the schedule and at the log of reconcile",
        faults=("reconciler-stopped",),
        also=("ledger-throttled",),
        pages=True,
    ),
)
