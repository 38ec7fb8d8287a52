"""Sends the pipeline two small documents of its own through the real door, and looks at what became of the ones before.

Each carries a fresh nonce, or deduplication would answer instead of the pipeline. What it finds wrong, and its silence, are alarms.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

import msgspec

from escriba.errors import NotFound
from escriba.identity import job_id, output_prefix, upload_key
from escriba.ledger import FINISHED, FORGOTTEN, DocumentRow
from escriba.ports import Ports
from escriba.stages.figures import CANARY

STATE_KEY = "canary/sent.json"
_DIGITS = 8


class Sent(msgspec.Struct, frozen=True):
    """One document of the canary's: what it is, the job it became, the nonce it must come back with, and its upload."""

    kind: str
    job_id: str
    nonce: str
    key: str
    version: str


Draw = Callable[[str], bytes]
"""Makes a document of one page that says the nonce."""


def sing(ports: Ports, draw: Mapping[str, Draw]) -> None:
    """Judge and clear away the documents sent last time, then send new ones, one a kind of `draw`."""
    for sent in _sent_before(ports):
        fault = _judge(sent, ports)
        ports.meter.count("CanaryFailures", bool(fault))
        if fault:
            ports.meter.log("error", "canary failed", kind=sent.kind, job_id=sent.job_id, reason=fault)
    ports.results.put(STATE_KEY, msgspec.json.encode([_send(kind, make, ports) for kind, make in sorted(draw.items())]))
    ports.meter.count("CanaryRuns")


def _send(kind: str, make: Draw, ports: Ports) -> Sent:
    # Digits alone: what any engine reads in any language.
    nonce = "".join(secrets.choice("23456789") for _ in range(_DIGITS))
    key = upload_key(CANARY, "default", f"{kind}-{nonce}")
    version = ports.inbox.put(key, make(nonce))
    return Sent(kind, job_id(ports.inbox.bucket, key, version), nonce, key, version)


def _sent_before(ports: Ports) -> list[Sent]:
    try:
        return msgspec.json.decode(ports.results.get(STATE_KEY), type=list[Sent])
    except NotFound:
        return []


def _judge(sent: Sent, ports: Ports) -> str:
    """What is wrong with it, in one sentence; empty when it came back with its nonce. What has ended is cleared away."""
    job = ports.ledger.job(sent.job_id)
    if job is None or job.code == FORGOTTEN:
        return "it was not taken in"
    if not job.document_id:
        return f"it was rejected: {job.reason}"
    try:
        document = ports.ledger.document(job.document_id)
    except NotFound:
        # The run before died while it cleared away: raised here, this would end every run to come.
        return "its document is gone"
    if document.state not in FINISHED:
        return f"it is still {document.state}"
    fault = _read_wrong(document, sent, ports)
    _clear(document, ports)
    return fault


def _read_wrong(document: DocumentRow, sent: Sent, ports: Ports) -> str:
    if document.state != "DONE":
        return f"it ended {document.state}"
    ports.meter.count("CanarySeconds", document.completed_at - document.received_at, unit="Seconds")
    try:
        text = ports.results.get(document.output_prefix + "document.txt").decode()
    except NotFound:
        return "its text is gone"
    return "" if sent.nonce in text else "its text came back wrong"


def _clear(document: DocumentRow, ports: Ports) -> None:
    outputs = output_prefix(document.tenant, document.document_id, 1).rsplit("/", 2)[0] + "/"
    for prefix in (document.original_key, f"readings/{document.document_id}/", outputs):
        for key in list(ports.results.keys(prefix)):
            ports.results.delete(key)
    ports.recovery.forget(document)
