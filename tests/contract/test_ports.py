"""One suite a port for Queue, ObjectStore, EventBus, Clock and Meter, run against memory and against moto."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from escriba.aws.clients import client
from escriba.aws.events import EventBridgeBus
from escriba.aws.failures import aws_failures
from escriba.aws.objects import S3ObjectStore
from escriba.aws.queue import SqsQueue
from escriba.aws.telemetry import PowertoolsMeter
from escriba.errors import Conflict, NotFound, RetryableError, Throttled
from escriba.local.embedded_aws import embedded_aws
from escriba.memory.clock import ManualClock, SystemClock
from escriba.memory.events import MemoryEventBus
from escriba.memory.meter import MemoryMeter
from escriba.memory.objects import MemoryObjectStore
from escriba.memory.queue import MemoryQueue
from escriba.messages import DocumentReady
from escriba.ports import Clock, EventBus, Meter, ObjectStore, Queue
from escriba.settings import Settings
from escriba.topology import QueueSpec, Topology

TOPOLOGY = Topology(queues=(QueueSpec("work", visibility=1, max_receives=2),), functions=())


@pytest.fixture(scope="module")
def aws() -> Iterator[Settings]:
    with embedded_aws(TOPOLOGY) as settings:
        yield settings


@pytest.fixture(params=["memory", "sqs"])
def queues(request: pytest.FixtureRequest) -> Iterator[tuple[Queue, Queue, Clock]]:
    """A queue, its dead letters, and the clock they live by."""
    if request.param == "memory":
        clock = ManualClock()
        letters = MemoryQueue(TOPOLOGY.queue("work-dlq"), clock)
        yield MemoryQueue(TOPOLOGY.queue("work"), clock, letters), letters, clock
        return
    with embedded_aws(TOPOLOGY) as settings:
        made = {name: SqsQueue(client("sqs"), url, name) for name, url in settings.queues.items()}
        yield made["work"], made["work-dlq"], SystemClock()


def test_what_is_sent_is_received_once_while_it_is_hidden(queues: tuple[Queue, Queue, Clock]) -> None:
    """A received message is invisible until its time is up, and gone once deleted."""
    queue, _, _ = queues
    queue.send(["one"], tenant="acme")
    [delivery] = queue.receive(10)
    assert (delivery.body, delivery.receives) == ("one", 1)
    assert queue.receive(10) == []
    assert (queue.depth().in_flight, queue.depth().total) == (1, 1)
    queue.delete(delivery.receipt)
    assert queue.depth().total == 0


def test_an_unanswered_message_comes_again_and_then_goes_to_the_dead_letters(queues: tuple[Queue, Queue, Clock]) -> None:
    """Seen again after its visibility timeout with a higher count; the receive beyond the maximum redrives it."""
    queue, letters, clock = queues
    queue.send(["poison"])
    counts = []
    for _ in range(2):
        [delivery] = queue.receive(1)
        counts.append(delivery.receives)
        clock.sleep(1.1)
    assert counts == [1, 2]
    assert letters.depth().total == 0
    assert queue.receive(1) == []
    [dead] = letters.receive(1)
    assert dead.body == "poison"
    assert queue.depth().total == 0


def test_a_failed_message_can_be_shown_again_at_once(queues: tuple[Queue, Queue, Clock]) -> None:
    """change_visibility(0) makes it visible now."""
    queue, _, _ = queues
    queue.send(["again"])
    [first] = queue.receive(1)
    queue.change_visibility(first.receipt, 0)
    [second] = queue.receive(1)
    assert second.receives == 2


def test_the_receipt_of_an_earlier_delivery_deletes_nothing() -> None:
    """A worker that was too slow answers for a delivery that is another's by now. SQS promises the same; moto deletes."""
    queue = MemoryQueue(TOPOLOGY.queue("work"), ManualClock())
    queue.send(["slow"])
    [first] = queue.receive(1)
    queue.change_visibility(first.receipt, 0)
    [second] = queue.receive(1)
    queue.delete(first.receipt)
    assert queue.depth().total == 1
    queue.delete(second.receipt)
    assert queue.depth().total == 0


def test_a_delayed_message_is_not_seen_before_its_time(queues: tuple[Queue, Queue, Clock]) -> None:
    """It counts as delayed, then becomes visible."""
    queue, _, clock = queues
    queue.send(["later"], delay=1)
    assert queue.receive(1) == []
    assert queue.depth().delayed == 1
    clock.sleep(1.1)
    assert [d.body for d in queue.receive(1)] == ["later"]


def test_many_are_sent_in_batches_and_received_up_to_a_limit(queues: tuple[Queue, Queue, Clock]) -> None:
    """25 messages of 30 kB cross the limits of a batch in number and size; ten come at most."""
    queue, _, _ = queues
    queue.send([str(n) + "x" * 30_000 for n in range(25)])
    assert queue.depth().visible == 25
    assert len(queue.receive(10)) == 10


def test_a_partly_refused_batch_is_sent_again_and_finally_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQS refuses of a batch is sent again; refused for ever it is Throttled, never silently lost."""
    with embedded_aws(TOPOLOGY) as settings:
        queue = SqsQueue(client("sqs"), settings.queues["work"], "work")
        real, refuse = client("sqs").send_message_batch, [True, False]

        def partly(**request: Any) -> Any:
            if refuse and refuse.pop(0):
                answer = real(**request | {"Entries": request["Entries"][:1]})
                return {
                    **answer,
                    "Failed": [{"Id": entry["Id"], "Code": "Throttled", "SenderFault": False} for entry in request["Entries"][1:]],
                }
            return real(**request)

        monkeypatch.setattr(client("sqs"), "send_message_batch", partly)
        queue.send(["a", "b", "c"])
        assert queue.depth().visible == 3
        monkeypatch.setattr(client("sqs"), "send_message_batch", lambda **r: {"Failed": [{"Id": e["Id"]} for e in r["Entries"]]})
        with pytest.raises(Throttled, match="1 messages were refused 3 times"):
            queue.send(["d"])


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest, aws: Settings) -> ObjectStore:
    return MemoryObjectStore(versioned=True) if request.param == "memory" else S3ObjectStore(client("s3"), aws.inbox_bucket)


def test_objects_are_kept_by_key_and_version(store: ObjectStore) -> None:
    """Every put of a versioned bucket stays readable by its version; without one, the newest answers."""
    one, two = store.put("a/ç d.pdf", b"first"), store.put("a/ç d.pdf", b"second!", content_type="text/plain")
    assert one != two
    assert store.get("a/ç d.pdf", version=one) == b"first"
    assert store.get("a/ç d.pdf") == b"second!"
    assert store.size("a/ç d.pdf") == 7
    assert store.size("a/ç d.pdf", version=one) == 5
    store.delete("a/ç d.pdf", version=two)
    assert store.get("a/ç d.pdf") == b"first"
    store.delete("a/ç d.pdf", version=one)
    with pytest.raises(NotFound):
        store.get("a/ç d.pdf")


def test_files_go_up_and_come_down(store: ObjectStore, tmp_path: Path) -> None:
    """Upload and download carry bytes; the version that upload returns is the one it made."""
    (tmp_path / "up").write_bytes(b"x" * 100_000)
    version = store.upload(tmp_path / "up", "files/up")
    store.download("files/up", tmp_path / "down", version=version)
    assert (tmp_path / "down").read_bytes() == b"x" * 100_000
    assert list(store.keys("files/")) == ["files/up"]


@pytest.mark.parametrize("act", ["get", "size", "download"])
def test_a_missing_object_is_not_found(store: ObjectStore, tmp_path: Path, act: str) -> None:
    """Every way to ask for it says so in the same words."""
    arguments = (tmp_path / "x",) if act == "download" else ()
    with pytest.raises(NotFound):
        getattr(store, act)("missing", *arguments)


def test_deleting_what_is_not_there_is_no_error(store: ObjectStore) -> None:
    """A replay deletes again."""
    store.delete("missing")


@pytest.mark.parametrize("make", [MemoryEventBus, lambda: EventBridgeBus(client("events"), "escriba")])
def test_an_event_is_published(aws: Settings, make: Callable[[], EventBus]) -> None:
    """Publishing returns once the bus has it."""
    make().publish(DocumentReady(sent_at=datetime.now(UTC), document_id="d", revision=1))


def test_an_event_the_bus_refuses_is_an_error(aws: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused entry does not pass for published."""
    monkeypatch.setattr(client("events"), "put_events", lambda **_: {"FailedEntryCount": 1})
    with pytest.raises(Throttled):
        EventBridgeBus(client("events"), "escriba").publish(DocumentReady(sent_at=datetime.now(UTC), document_id="d", revision=1))


@pytest.mark.parametrize("make", [MemoryMeter, lambda: PowertoolsMeter("/dev/null")])
def test_a_meter_counts_logs_and_flushes(make: Callable[[], Meter]) -> None:
    """Nothing it is given makes it fail."""
    meter = make()
    meter.count("Pages", 2, route="ocr")
    meter.count("Pages")
    for level in ("debug", "info", "warning", "error"):
        meter.log(level, "event", document_id="d")  # type: ignore[arg-type]
    meter.flush()


def test_metrics_are_written_in_the_embedded_format(tmp_path: Path) -> None:
    """One line a metric and set of dimensions, in namespace Escriba, summed since the last flush; log lines are JSON."""
    path = tmp_path / "telemetry"
    meter = PowertoolsMeter(str(path))
    meter.count("Pages", 2, route="ocr")
    meter.count("Pages", 3, route="ocr")
    meter.log("warning", "pages failed", first=7)
    meter.flush()
    meter.flush()
    log, metric = [json.loads(line) for line in path.read_text().splitlines()]
    assert (log["level"], log["message"], log["first"]) == ("WARNING", "pages failed", 7)
    assert (metric["Pages"], metric["route"]) == ([5.0], "ocr")
    [definition] = metric["_aws"]["CloudWatchMetrics"]
    assert (definition["Namespace"], definition["Dimensions"], definition["Metrics"]) == (
        "Escriba",
        [["route"]],
        [{"Name": "Pages", "Unit": "Count"}],
    )


def test_without_a_file_telemetry_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Where Lambda reads it."""
    meter = PowertoolsMeter()
    meter.count("Pages")
    meter.flush()
    assert '"Pages":[1.0]' in capsys.readouterr().out


def test_clocks_tell_aware_times_and_sleep() -> None:
    """A manual clock passes hours in no time; the system's passes them really."""
    manual, system = ManualClock(), SystemClock()
    before = manual.now()
    manual.sleep(7200)
    assert (manual.now() - before).total_seconds() == 7200
    began = time.monotonic()
    system.sleep(0.01)
    assert time.monotonic() - began >= 0.01
    assert manual.now().tzinfo is UTC
    assert system.now().tzinfo is UTC


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ThrottlingException", Throttled),
        ("ProvisionedThroughputExceededException", Throttled),
        ("SlowDown", Throttled),
        ("TransactionConflictException", Conflict),
        ("NoSuchKey", NotFound),
        ("404", NotFound),
        ("AccessDenied", ClientError),
    ],
)
def test_what_aws_says_becomes_the_taxonomys_word(code: str, kind: type[Exception]) -> None:
    """Throttled, Conflict, NotFound; anything else comes through as it is."""
    with pytest.raises(kind), aws_failures("doing it"):
        raise ClientError({"Error": {"Code": code, "Message": "m"}}, "Op")


def test_an_unreachable_aws_is_retryable() -> None:
    """No connection is not the document's fault."""
    with pytest.raises(RetryableError, match="could not be reached"), aws_failures("doing it"):
        raise EndpointConnectionError(endpoint_url="x")
