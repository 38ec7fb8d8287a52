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
_UNDER_WAY_AT_MOST = 4 * 86_400
"""Seconds after which no queue holds a message of a document any more (the sources' retention): nothing comes of it then."""


class Sent(msgspec.Struct, frozen=True):
    """One document of the canary's: what it is, the job it became, the nonce it must come back with, and its upload.

    `at` is when it was sent (seconds since 1970); one that was `judged` has been found late, and is kept only to be cleared away.
    """

    kind: str
    job_id: str
    nonce: str
    key: str
    version: str
    at: float = 0.0
    judged: bool = False


Draw = Callable[[str], bytes]
"""Makes a document of one page that says the nonce."""


def sing(ports: Ports, draw: Mapping[str, Draw]) -> None:
    """Judge the documents sent last time and clear away all that have ended, then send new ones, one a kind of `draw`."""
    before = _sent_before(ports)
    for sent in before:
        if sent.judged:
            continue
        fault = _judge(sent, ports)
        ports.meter.count("CanaryFailures", bool(fault))
        if fault:
            ports.meter.log("error", "canary failed", kind=sent.kind, job_id=sent.job_id, reason=fault)
    late = [msgspec.structs.replace(sent, judged=True) for sent in before if not _cleared(sent, ports)]
    ports.results.put(STATE_KEY, msgspec.json.encode(late + [_send(kind, make, ports) for kind, make in sorted(draw.items())]))
    ports.meter.count("CanaryRuns")


def _send(kind: str, make: Draw, ports: Ports) -> Sent:
    # Digits alone: what any engine reads in any language.
    nonce = "".join(secrets.choice("23456789") for _ in range(_DIGITS))
    key = upload_key(CANARY, "default", f"{kind}-{nonce}")
    version = ports.inbox.put(key, make(nonce))
    return Sent(kind, job_id(ports.inbox.bucket, key, version), nonce, key, version, ports.clock.now().timestamp())


def _sent_before(ports: Ports) -> list[Sent]:
    try:
        return msgspec.json.decode(ports.results.get(STATE_KEY), type=list[Sent])
    except NotFound:
        return []


def _judge(sent: Sent, ports: Ports) -> str:
    """What is wrong with it, in one sentence; empty when it came back with its nonce."""
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
    return _read_wrong(document, sent, ports)


def _read_wrong(document: DocumentRow, sent: Sent, ports: Ports) -> str:
    if document.state != "DONE":
        return f"it ended {document.state}"
    ports.meter.count("CanarySeconds", document.completed_at - document.received_at, unit="Seconds")
    try:
        text = ports.results.get(document.output_prefix + "document.txt").decode()
    except NotFound:
        return "its text is gone"
    return "" if sent.nonce in text else "its text came back wrong"


def _cleared(sent: Sent, ports: Ports) -> bool:
    """Clear one away that has ended, or of which nothing can come any more; False while it may still be under way."""
    over = ports.clock.now().timestamp() - sent.at > _UNDER_WAY_AT_MOST
    job = ports.ledger.job(sent.job_id)
    if job is None or not job.document_id:
        # Not taken in, or refused: what there is of it lies in the inbox.
        refused = job is not None and job.code != FORGOTTEN
        if refused or over:
            ports.inbox.delete(sent.key, version=sent.version)
        return refused or over
    try:
        document = ports.ledger.document(job.document_id)
    except NotFound:
        return True
    if document.state not in FINISHED and not over:
        return False
    _clear(document, ports)
    return True


def _clear(document: DocumentRow, ports: Ports) -> None:
    outputs = output_prefix(document.tenant, document.document_id, 1).rsplit("/", 2)[0] + "/"
    for prefix in (document.original_key, f"readings/{document.document_id}/", outputs):
        for key in list(ports.results.keys(prefix)):
            ports.results.delete(key)
    ports.recovery.forget(document)
