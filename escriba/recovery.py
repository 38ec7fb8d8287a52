"""What the reconciler and a redrive ask of the ledger, beside the straight line: which documents are under way or failed, and moves that send again.

Adapters: `memory/recovery.py`, `aws/recovery.py`, over the same rows as the ledger's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from escriba.ledger import DocumentRow, JobRow, PagesRow


def may_redrive(document: DocumentRow, row: PagesRow, generation: int) -> bool:
    """Whether this generation of a row failed and may be sent again: not of a document that is still to be planned, or has to be opened first."""
    return (row.state, row.generation) == ("QUARANTINED", generation) and document.state not in {"RECEIVED", "PLANNED", "REJECTED"}


class Recovery(Protocol):
    """Every move is conditional, as the ledger's are: None or False when the row has moved meanwhile."""

    def in_flight(self) -> Iterator[DocumentRow]:
        """Oldest first: every document that has not ended, and those that have until `leave` lets them go. Never a scan of history."""

    def failed(self) -> Iterator[DocumentRow]:
        """Oldest first: documents that ended PARTIAL or REJECTED and have left."""

    def leave(self, document: DocumentRow) -> bool:
        """Take a document that has ended out of `in_flight`; into `failed` where something of it could not be read."""

    def prod(self, document: DocumentRow) -> DocumentRow | None:
        """Count that the document's own message is sent again."""

    def resend(self, document_id: str, row: PagesRow) -> PagesRow | None:
        """A waiting row in its next generation: messages of the older one are dropped by their consumers."""

    def note_upload(self, job: JobRow) -> bool:
        """Record an upload without a document whose event is sent again; False when it has been taken in or rejected."""

    def redrive(self, document_id: str, row: PagesRow) -> PagesRow | None:
        """A quarantined row waits again, in its next generation and untried; a document whose assembly has begun gets a new revision. None for one that is planned again, or rejected as a whole."""

    def reopen(self, document: DocumentRow) -> DocumentRow | None:
        """A rejected document is RECEIVED again, in its next generation."""

    def adopt(self, document: DocumentRow, policy: str) -> DocumentRow | None:
        """A document that was delivered PARTIAL is from now on read under another policy (its JSON) of the same fingerprint."""

    def forget(self, document: DocumentRow) -> None:
        """Remove a document, its pages and its upload: for the canary's own."""
