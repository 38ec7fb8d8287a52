"""The ledger: one row a document and a row a packet of pages, and the moves that they may make so that no page is ever lost.

What the moves do to the rows stands in `moves.py`. Adapters: `memory/ledger.py`, `aws/ledger.py`; one contract suite runs against both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import msgspec

from escriba.document import PageState, Route
from escriba.identity import output_prefix

DocumentState = Literal["RECEIVED", "PLANNED", "READING", "ASSEMBLING", "DONE", "PARTIAL", "REJECTED"]
FORGOTTEN = "forgotten"  # the code of an upload whose event never came, and which the reconciler has sent again
FINISHED: frozenset[DocumentState] = frozenset({"DONE", "PARTIAL", "REJECTED"})
DELIVERED: frozenset[DocumentState] = frozenset({"DONE", "PARTIAL"})


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """One upload. `document_id` is empty where the upload was rejected before its bytes were known, or its event was lost (`FORGOTTEN`)."""

    job_id: str
    tenant: str
    key: str
    document_id: str = ""
    code: str = ""
    reason: str = ""
    resends: int = 0
    sent_at: float = 0.0


class DocumentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One reading and where its pages are: `total == waiting + done + degraded + quarantined` from PLANNED on.

    `job_id` is the upload that has it planned; others of the same bytes only wait for it. `policy` is the policy's JSON as it stood when the upload was accepted: later edits are another reading's business.
    `failure` is the last trouble met on the way, `reason` why the document ended REJECTED. `revision` is the newest one asked for, `started` the newest whose assembly began, `current` the newest delivered.
    `moved_at` is when anything last changed, `sent_at` when its pages were sent, `escalated_at` when last one of them was, `prods` how often the reconciler had to send its own message again.
    """

    document_id: str
    job_id: str
    tenant: str
    policy: str
    sha256: str
    name: str
    original_key: str
    state: DocumentState = "RECEIVED"
    generation: int = 1
    code: str = ""
    reason: str = ""
    failure: str = ""
    media_type: str = ""
    total: int = 0
    waiting: int = 0
    done: int = 0
    degraded: int = 0
    quarantined: int = 0
    revision: int = 1
    started: int = 0
    current: int = 0
    received_at: float = 0.0
    completed_at: float = 0.0
    moved_at: float = 0.0
    sent_at: float = 0.0
    escalated_at: float = 0.0
    prods: int = 0

    @property
    def output_prefix(self) -> str:
        """Where the current revision's outputs stand in the results bucket."""
        return output_prefix(self.tenant, self.document_id, self.current)


class PagesRow(msgspec.Struct, frozen=True, kw_only=True):
    """Pages `first` to `last`, which travel, wait and finish together: one page for OCR, up to fifty for a text layer.

    A page that was escalated waits in another `queue` since `escalated_at`; `result_key` and what stands beside it are the reading so far,
    which stands as `kept_as` where nobody makes it better.
    `code` is the kind of a permanent error, empty where a page was given up after its failures.
    """

    first: int
    last: int
    route: Route
    object_key: str
    offset: int
    state: PageState = "WAITING"
    generation: int = 1
    attempts: int = 0
    failure: str = ""
    code: str = ""
    reason: str = ""
    engine: str = ""
    result_key: str = ""
    confidence: float | None = None
    seconds: float = 0.0
    queue: str = "pages"
    sent_at: float = 0.0
    resends: int = 0
    redrives: int = 0
    escalated_at: float = 0.0
    kept_as: PageState = "DEGRADED"

    @property
    def pages(self) -> int:
        return self.last - self.first + 1


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How the reading of pages `first` to `last` ended."""

    first: int
    last: int
    generation: int
    state: PageState
    code: str = ""
    reason: str = ""
    engine: str = ""
    result_key: str = ""
    confidence: float | None = None
    seconds: float = 0.0


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead message whose page or document cannot be named; `body` is kept for a person to look at."""

    message_id: str
    queue: str
    reason: str
    body: str


class Ledger(Protocol):
    """The one memory of the pipeline. Every move is conditional: running any of these twice, late or in parallel is safe."""

    def accept(self, job: JobRow, document: DocumentRow) -> DocumentRow:
        """Record the job; create its document unless it is known (one that its surroundings failed is opened again)."""

    def reject_job(self, job: JobRow) -> None:
        """Record an upload that never became a document, with its `code` and `reason`."""

    def job(self, job_id: str) -> JobRow | None: ...
    def document(self, document_id: str) -> DocumentRow:
        """Raises `NotFound`."""

    def documents(self) -> Iterator[DocumentRow]:
        """Every document: for one machine's state, not for a deployment's history."""

    def pages(self, document_id: str) -> Iterator[PagesRow]:
        """All rows of a document in page order."""

    def pages_row(self, document_id: str, first: int, last: int) -> PagesRow | None: ...
    def add_pages(self, document_id: str, rows: Sequence[PagesRow]) -> None:
        """Create rows for the pages that have none yet. Raises `NotFound`."""

    def planned(self, document_id: str, total: int, media_type: str) -> DocumentRow:
        """RECEIVED -> PLANNED with every page waiting; otherwise no change."""

    def reading(self, document_id: str) -> DocumentRow:
        """PLANNED -> READING; otherwise no change."""

    def complete(self, document_id: str, outcomes: Sequence[Outcome]) -> DocumentRow:
        """Apply the outcomes that move their pages forward, in one transaction of at most 99; stale ones change nothing.

        A better outcome for an already delivered document asks for a new revision in the same transaction.
        """

    def escalate(self, document_id: str, row: PagesRow, reading: Outcome, queue: str) -> PagesRow | None:
        """Keep the reading of a waiting page and let it wait in `queue` for a better one; None when the row has moved meanwhile."""

    def count_failure(self, document_id: str, first: int, last: int, generation: int, failure: str) -> int:
        """Count a real failure of waiting pages and keep its sentence; returns the failures so far."""

    def unpack(self, document_id: str, first: int, last: int) -> Sequence[PagesRow]:
        """Replace a waiting packed row by one row a page; returns the single rows that stand in its place."""

    def note_failure(self, document_id: str, failure: str) -> None:
        """Keep the sentence of a failure that struck the document as a whole."""

    def reject(self, document_id: str, code: str, reason: str) -> DocumentRow:
        """End a document of which nothing was delivered; otherwise no change."""

    def begin_assembly(self, document_id: str, revision: int) -> DocumentRow | None:
        """None when pages wait or this revision or a later one is already current."""

    def publish(self, document_id: str, revision: int, state: DocumentState) -> DocumentRow | None:
        """Move `current` forward to `revision`; None when a newer or equal one is current."""

    def record_dead_letter(self, letter: DeadLetter) -> None: ...
    def dead_letters(self) -> Iterator[DeadLetter]: ...
