"""Many threads share a request: completions of one document in one transaction, deletions in one batch; none fails for another's sake."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from moto import mock_aws

from escriba.aws.gathering import Gathering, GatheringLedger, GatheringQueue
from escriba.local.embedded_aws import make_ledger_table
from tests.contract.ledgers import DOC, FastClock, outcome, planned, row


@pytest.fixture
def calls() -> Iterator[Counter[str]]:
    with mock_aws():
        yield Counter()


def counted(service: str, calls: Counter[str]) -> Any:
    client = boto3.client(service, region_name="us-east-1")
    client.meta.events.register("before-call", lambda model, **_: calls.update([model.name]))
    return client


def at_once(work: Any, items: Sequence[Any]) -> list[Any]:
    barrier = threading.Barrier(len(items))

    def one(item: Any) -> Any:
        barrier.wait()
        return work(item)

    with ThreadPoolExecutor(len(items)) as pool:
        return [future.exception() or future.result() for future in [pool.submit(one, item) for item in items]]


def test_completions_of_one_document_are_one_transaction(calls: Counter[str]) -> None:
    """Twelve pages at once: one transaction, counted right; each caller gets the document as it is then."""
    client = counted("dynamodb", calls)
    make_ledger_table(client, "ledger")
    ledger = GatheringLedger(client, "ledger", FastClock())
    planned(ledger, *(row(n) for n in range(1, 14)))
    calls.clear()
    documents = at_once(lambda n: ledger.complete(DOC, [outcome(n)]), range(1, 13))
    assert calls["TransactWriteItems"] <= 3  # all but the first may come a moment late
    assert {document.document_id for document in documents} == {DOC}
    assert ledger.document(DOC).done == 12
    assert ledger.complete(DOC, [outcome(13)]).waiting == 0


def test_the_same_page_twice_at_once_counts_once(calls: Counter[str]) -> None:
    """A message that was delivered twice."""
    client = counted("dynamodb", calls)
    make_ledger_table(client, "ledger")
    ledger = GatheringLedger(client, "ledger", FastClock())
    planned(ledger, row(1), row(2))
    at_once(lambda _: ledger.complete(DOC, [outcome(1)]), range(6))
    assert (ledger.document(DOC).done, ledger.document(DOC).waiting) == (1, 1)


def test_deletions_are_one_batch(calls: Counter[str]) -> None:
    """Ten messages, one request; an expired receipt among them keeps none of the others."""
    client = counted("sqs", calls)
    url = client.create_queue(QueueName="vision")["QueueUrl"]
    queue = GatheringQueue(client, url, "vision")
    queue.send([str(n) for n in range(9)])
    receipts = [delivery.receipt for delivery in queue.receive(9)]
    calls.clear()
    assert at_once(queue.delete, [*receipts, "expired"]) == [None] * 10
    assert calls["DeleteMessageBatch"] <= 2
    assert queue.depth().total == 0


def test_what_fails_together_is_tried_alone() -> None:
    """One of five cannot be done: the others are, and only its caller hears of it."""
    tried = []

    def work(key: str, items: Sequence[int]) -> int:
        tried.append(list(items))
        if 3 in items:
            raise ValueError(key)
        return sum(items)

    gathering: Gathering[str, int, int] = Gathering(work, most=10, window=0.2)
    answers = at_once(lambda n: gathering("key", n), range(5))
    assert isinstance(answers[3], ValueError)
    assert [answer for n, answer in enumerate(answers) if n != 3] == [0, 1, 2, 4]
    assert len(tried[0]) > 1


def test_keys_are_kept_apart_and_groups_are_bounded() -> None:
    """Two documents are two calls; more than the most begin another."""
    seen: list[tuple[str, int]] = []
    gathering: Gathering[str, int, None] = Gathering(lambda key, items: seen.append((key, len(items))), most=3, window=0.1)
    at_once(lambda n: gathering("even" if n % 2 else "odd", n), range(14))
    assert sum(size for key, size in seen if key == "even") == sum(size for key, size in seen if key == "odd") == 7
    assert max(size for _, size in seen) <= 3
