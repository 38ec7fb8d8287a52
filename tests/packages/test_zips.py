"""Each function that goes as a zip, with exactly its own lock installed in a bare environment, handles an event that a local run has had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cdk import packages
from escriba.messages import DocumentReady, PagesRequested
from escriba.topology import TOPOLOGY
from tests.packages import environment
from tests.packages.cloud import EVENTS, Cloud, lay_down, read_all, recorded
from tests.packages.conftest import Installed

pytestmark = [pytest.mark.packages, pytest.mark.slow, pytest.mark.timeout(600)]
OUTPUTS = {"chunks.jsonl", "document.json", "document.md", "document.pdf", "document.txt", "usage.json"}


def test_every_zip_is_here() -> None:
    """The five functions below are all that go as zips."""
    zips = {"quarantine", "assemble_document", "reconcile", "canary", "measure_gpu_service"}
    assert {function.name for function in TOPOLOGY.all_functions()} - packages.IMAGED == zips


def test_quarantine_records_what_was_lost(aws: Cloud, installed: Installed, bare: Path) -> None:
    """A batch of two dead letters: what is no message is kept, a dead page is QUARANTINED and its neighbours wait on."""
    event, [_, dead] = recorded("quarantine")
    assert isinstance(dead, PagesRequested)
    lay_down(aws, dead.document_id)
    environment.invoke(bare, installed("quarantine"), "lambdas.quarantine.handler", event, aws.environment())
    assert [(letter.queue, letter.body) for letter in aws.ports.ledger.dead_letters()] == [("pages-dlq", "not a message")]
    states = [(row.first, row.state, row.reason) for row in aws.ports.ledger.pages(dead.document_id)]
    assert states == [(1, "WAITING", ""), (2, "QUARANTINED", "its reader died again and again without saying why"), (3, "WAITING", "")]


def test_assemble_writes_the_outputs(aws: Cloud, installed: Installed, bare: Path) -> None:
    """A document whose pages are read: all six files of its first revision, text and pixels alike, and it is DONE."""
    event, [ready] = recorded("assemble_document")
    assert isinstance(ready, DocumentReady)
    read_all(aws, lay_down(aws, ready.document_id))
    environment.invoke(bare, installed("assemble_document"), "lambdas.assemble_document.handler", event, aws.environment())
    document = aws.ports.ledger.document(ready.document_id)
    assert (document.state, document.current, document.done) == ("DONE", 1, 4)
    assert {key.removeprefix(document.output_prefix) for key in aws.ports.results.keys(document.output_prefix)} == OUTPUTS
    text = aws.ports.results.get(document.output_prefix + "document.md").decode()
    assert "Invoice 2026/041" in text
    assert "stored sideways" in text
    assert aws.ports.results.get(document.output_prefix + "document.pdf").startswith(b"%PDF")


def test_reconcile_looks_after_what_is_under_way(aws: Cloud, installed: Installed, bare: Path) -> None:
    """A document that has ended leaves those under way; a rejected one stands among the failed."""
    document = lay_down(aws, "0" * 32)
    aws.ports.ledger.reject(document.document_id, "failed", "because")
    environment.invoke(bare, installed("reconcile"), "lambdas.reconcile.handler", scheduled(), aws.environment())
    assert list(aws.ports.recovery.in_flight()) == []
    assert [failed.document_id for failed in aws.ports.recovery.failed()] == [document.document_id]


def test_the_canary_draws_and_sends_its_documents(aws: Cloud, installed: Installed, bare: Path) -> None:
    """A PDF and a picture lie in the inbox, under its own tenant."""
    environment.invoke(bare, installed("canary"), "lambdas.canary.handler", scheduled(), aws.environment())
    sent = sorted(aws.ports.inbox.versions("inbox/canary/"), key=lambda upload: upload.key)
    assert [upload.key.rpartition("/")[2].partition("-")[0] for upload in sent] == ["digital", "scanned"]
    begun = [aws.ports.inbox.get(upload.key, version=upload.version)[:4] for upload in sent]
    assert begun == [b"%PDF", b"\x89PNG"]


def test_measuring_needs_a_service(aws: Cloud, installed: Installed, bare: Path) -> None:
    """It starts with its own packages alone, and says what it was not told."""
    with pytest.raises(AssertionError, match="set ESCRIBA_GPU_SERVICE to CLUSTER/SERVICE"):
        environment.invoke(bare, installed("measure_gpu_service"), "lambdas.measure_gpu_service.handler", scheduled(), aws.environment())


def scheduled() -> object:
    """What EventBridge Scheduler sends a function whose schedule names no input of its own (its user guide)."""
    return json.loads((EVENTS / "schedule.json").read_text())


def test_a_lock_that_lacks_something_is_seen(aws: Cloud, bare: Path, tmp_path: Path) -> None:
    """Without one of its pins, the same event ends in the name of what is missing: nothing of this environment stands in for it."""
    entries = (environment.LOCKS / "quarantine.txt").read_text().replace("\\\n", " ").splitlines(keepends=True)
    (tmp_path / "lock.txt").write_text("".join(entry for entry in entries if not entry.startswith("msgspec==")))
    environment.install(bare, tmp_path / "lock.txt", tmp_path / "task")
    event, _ = recorded("quarantine")
    with pytest.raises(AssertionError, match="No module named 'msgspec'"):
        environment.invoke(bare, tmp_path / "task", "lambdas.quarantine.handler", event, aws.environment())
