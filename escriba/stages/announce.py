"""Says that a document is ready to be assembled, or completed; both may be said twice and mean the same."""

from __future__ import annotations

from escriba.ledger import FINISHED, DocumentRow, PagesRow
from escriba.messages import DocumentCompleted, DocumentReady, encode
from escriba.ports import Ports
from escriba.stages import figures


def ready(document: DocumentRow, ports: Ports) -> None:
    """Ask for the document's newest revision, unless pages wait or it is there already."""
    if document.waiting or document.current >= document.revision or document.state in {"RECEIVED", "REJECTED"}:
        return
    message = DocumentReady(sent_at=ports.clock.now(), document_id=document.document_id, revision=document.revision)
    delay = ports.upgrade_window if document.revision > 1 else 0
    ports.queues["assemble"].send([encode(message)], delay=delay, tenant=document.tenant)


def completed(document: DocumentRow, ports: Ports) -> None:
    """Tell the outside that a document has ended."""
    if document.state not in FINISHED:
        return
    ports.events.publish(
        DocumentCompleted(
            sent_at=ports.clock.now(),
            document_id=document.document_id,
            tenant=document.tenant,
            state=document.state,  # type: ignore[arg-type]  # narrowed by FINISHED above
            reason=document.reason,
            revision=document.current,
            output_prefix=document.output_prefix if document.current else "",
            pages={"DONE": document.done, "DEGRADED": document.degraded, "QUARANTINED": document.quarantined, "WAITING": document.waiting},
        )
    )
    figures.count(ports, document, "DocumentsCompleted")
    if document.state == "REJECTED":
        figures.count(ports, document, "DocumentsRejected")
    ports.meter.log("info", "document completed", document_id=document.document_id, state=document.state, pages=document.total)


def quarantined(document: DocumentRow, row: PagesRow, reason: str, ports: Ports) -> None:
    """Count pages that could not be read, and say which."""
    figures.count(ports, document, "PagesQuarantined", row.pages)
    ports.meter.log("error", "pages quarantined", document_id=document.document_id, first=row.first, last=row.last, reason=reason)
