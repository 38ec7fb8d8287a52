"""Lets a page that CPU OCR has read wait for a better reading, and records how that ended; what was read first is kept all the while."""

from __future__ import annotations

from datetime import timedelta

from escriba.ledger import DocumentRow, Outcome, PagesRow
from escriba.messages import VisionRequested, encode
from escriba.policy import Policy
from escriba.ports import Ports
from escriba.stages import announce, figures

LATE = "no vision model answered in time"
UNGROUNDED = "read by a vision model alone: CPU OCR was sure of nothing that could confirm it"


def escalate(document: DocumentRow, row: PagesRow, reading: Outcome, queue: str, ports: Ports) -> None:
    """Let a page that has been read wait in `queue` for a better reading; what was read of it is kept."""
    moved = ports.ledger.escalate(document.document_id, row, reading, queue)
    if moved is not None:
        figures.count(ports, document, "PagesEscalated", row.pages)
        send_again(document, moved, ports)


def send_again(document: DocumentRow, row: PagesRow, ports: Ports) -> None:
    """Send the message of an escalated page."""
    message = request(document, row, ports)
    # SQS shares its consumers out between groups: of one tenant, too, what can wait shall not stand in the way of what cannot.
    group = document.tenant if message.urgency == "interactive" else f"{document.tenant}/{message.urgency}"
    ports.queues[row.queue].send([encode(message)], tenant=group)


def request(document: DocumentRow, row: PagesRow, ports: Ports) -> VisionRequested:
    """The message that has an escalated page read better."""
    now = ports.clock.now()
    return VisionRequested(
        sent_at=now,
        document_id=document.document_id,
        page=row.first,
        generation=row.generation,
        object_key=row.object_key,
        offset=row.offset,
        escalated_at=now - timedelta(seconds=max(0.0, now.timestamp() - row.escalated_at)),
        urgency=Policy.model_validate_json(document.policy).vision.urgency,
    )


def settle(document: DocumentRow, row: PagesRow, outcome: Outcome, ports: Ports) -> None:
    """Record how an escalated page ended."""
    after = ports.ledger.complete(document.document_id, [outcome])
    waited = ports.clock.now().timestamp() - row.escalated_at
    ports.meter.log(
        "info", "escalated page ended", document_id=document.document_id, page=row.first, state=outcome.state, seconds=round(waited, 1)
    )
    if row.state == "WAITING":
        figures.count(ports, document, "PagesFinished")
        if outcome.state == "DEGRADED":
            figures.count(ports, document, "PagesUngrounded" if outcome.reason == UNGROUNDED else "PagesDegraded")
    announce.ready(after, ports)
