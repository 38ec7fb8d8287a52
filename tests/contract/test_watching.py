"""What the reconciler sees of queues and buckets: the age of the oldest message and the versions that are there, in memory and on moto."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from escriba.aws.clients import client
from escriba.aws.objects import S3ObjectStore
from escriba.aws.queue import SqsQueue
from escriba.local.embedded_aws import embedded_aws
from escriba.memory.clock import ManualClock
from escriba.memory.objects import MemoryObjectStore
from escriba.memory.queue import MemoryQueue
from escriba.ports import ObjectStore, Queue
from escriba.topology import QueueSpec, Topology

TOPOLOGY = Topology(queues=(QueueSpec("work", visibility=30),), functions=())


@dataclass(frozen=True)
class Aged:
    """A queue, and how to have its messages be so many seconds old."""

    queue: Queue
    grow: Callable[[float], object]


@pytest.fixture(params=["memory", "sqs"])
def aged(request: pytest.FixtureRequest) -> Iterator[Aged]:
    if request.param == "memory":
        clock = ManualClock()
        yield Aged(MemoryQueue(TOPOLOGY.queue("work"), clock), clock.sleep)
        return
    with embedded_aws(TOPOLOGY) as settings:
        yield Aged(SqsQueue(client("sqs"), settings.queues["work"], "work", client("cloudwatch")), _measure)


def _measure(seconds: float, *, before: float = 1, queue: str = "work") -> None:
    """What SQS tells CloudWatch of a queue, so many seconds ago."""
    moment = datetime.now(UTC) - timedelta(seconds=before)
    datum: Any = {
        "MetricName": "ApproximateAgeOfOldestMessage",
        "Dimensions": [{"Name": "QueueName", "Value": queue}],
        "Timestamp": moment,
        "Value": seconds,
        "Unit": "Seconds",
    }
    client("cloudwatch").put_metric_data(Namespace="AWS/SQS", MetricData=[datum])


def test_an_empty_queues_oldest_message_has_no_age(aged: Aged) -> None:
    """0, whatever was measured while it held something."""
    aged.grow(500)
    assert aged.queue.oldest() == 0


@pytest.mark.parametrize("state", ["visible", "in flight", "delayed"])
def test_the_oldest_message_is_as_old_as_it_was_sent(aged: Aged, state: str) -> None:
    """In flight or delayed it grows older too. CloudWatch counts by the minute: never younger than it is, a minute older at most."""
    aged.queue.send(["a"], delay=900 if state == "delayed" else 0)
    if state == "in flight":
        aged.queue.receive(1)
    aged.grow(500)
    oldest = aged.queue.oldest()
    assert oldest is not None
    assert 500 <= oldest < 562


def test_the_oldest_is_not_known_without_cloudwatch() -> None:
    """None: nothing may be taken for lost by it."""
    with embedded_aws(TOPOLOGY) as settings:
        queue = SqsQueue(client("sqs"), settings.queues["work"], "work")
        assert queue.oldest() == 0
        queue.send(["a"])
        assert queue.oldest() is None


def test_the_latest_measure_counts_and_has_grown_since() -> None:
    """CloudWatch hears late: an age of 100 s, four minutes ago, is 340 s by now; other queues' are theirs, a quarter of an hour is too old."""
    with embedded_aws(TOPOLOGY) as settings:
        queue = SqsQueue(client("sqs"), settings.queues["work"], "work", client("cloudwatch"))
        queue.send(["a"])
        _measure(9000, before=1200)
        _measure(9000, queue="work-dlq")
        assert queue.oldest() is None
        _measure(7000, before=420)
        _measure(100, before=240)
        oldest = queue.oldest()
        assert oldest is not None
        assert 340 <= oldest < 402


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    if request.param == "memory":
        yield MemoryObjectStore(versioned=True)
        return
    with embedded_aws(TOPOLOGY) as settings:
        yield S3ObjectStore(client("s3"), settings.inbox_bucket)


def test_every_version_is_listed(bucket: ObjectStore) -> None:
    """By key, version, size and time; of the keys asked for, and of those that are still there."""
    began = time.time()
    one, two = bucket.put("inbox/ç d+e.pdf", b"first"), bucket.put("inbox/ç d+e.pdf", b"second!")
    three, gone = bucket.put("inbox/z.pdf", b"third"), bucket.put("inbox/gone.pdf", b"")
    bucket.put("elsewhere/z.pdf", b"other")
    bucket.delete("inbox/gone.pdf", version=gone)
    found = list(bucket.versions("inbox/"))
    assert {(v.key, v.version, v.size) for v in found} == {
        ("inbox/ç d+e.pdf", one, 5),
        ("inbox/ç d+e.pdf", two, 7),
        ("inbox/z.pdf", three, 5),
    }
    assert len(found) == 3
    # S3 counts in whole seconds.
    assert all(began - 1 <= v.stored_at <= time.time() for v in found)
    assert list(bucket.versions("nowhere/")) == []


def test_more_versions_than_one_answer_holds(bucket: ObjectStore) -> None:
    """S3 lists a thousand at a time."""
    for n in range(1005):
        bucket.put(f"inbox/{n}", b"x")
    assert len({v.key for v in bucket.versions("inbox/")}) == 1005
