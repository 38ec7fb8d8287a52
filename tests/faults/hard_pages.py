"""Documents with hard pages, worked through in memory, and what became of them."""

from __future__ import annotations

import json
from typing import Any

from escriba.identity import policy_key
from escriba.ledger import PagesRow
from escriba.local.dispatcher import sqs_event
from escriba.local.in_memory import InMemoryPipeline
from escriba.policy import parse_policy
from tests.faults.harness import document_of, made_up, outputs, run


def rows(made: InMemoryPipeline, job: str) -> list[PagesRow]:
    return list(made.ports.ledger.pages(document_of(made, job).document_id))


def deliver(made: InMemoryPipeline, handlers: Any, function: str, queue: str) -> int:
    """Hand what is visible in a queue to a function; how many messages failed."""
    failed = 0
    for delivery in made.queues[queue].receive(10):
        wrong = handlers[function](sqs_event(queue, [delivery]), None)["batchItemFailures"]
        failed += len(wrong)
        if not wrong:
            made.queues[queue].delete(delivery.receipt)
    return failed


def read(made: InMemoryPipeline, routes: str = "toh", policy: str = "") -> tuple[str, list[PagesRow], Any]:
    """Upload and work to the end: the job, its rows, and document.json."""
    if policy:
        made.ports.results.put(policy_key("default"), parse_policy(policy).model_dump_json().encode())
    job = made.upload("hard.pdf", made_up(routes))
    run(made)
    return job, rows(made, job), json.loads(outputs(made, job)["document.json"])


def counted(made: InMemoryPipeline, metric: str) -> float:
    return made.ports.meter.counts[metric]  # type: ignore[attr-defined]
