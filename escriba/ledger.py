"""The ledger: one row a document and a row a packet of pages, the moves they may make, and the law that no page is ever lost.

A page row is WAITING, then QUARANTINED, DEGRADED or DONE, and never goes back to something worse; only a redrive makes it wait again,
in a new generation. Adapters: `memory/ledger.py`, `aws/ledger.py`; one contract suite runs against both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Literal, Protocol

import msgspec

from escriba.document import PageState, Route
from escriba.errors import PermanentError
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
    `moved_at` is when anything last changed, `sent_at` when its pages were sent, `prods` how often the reconciler had to send its own message again.
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
    prods: int = 0

    @property
    def output_prefix(self) -> str:
        """Where the current revision's outputs stand in the results bucket."""
        return output_prefix(self.tenant, self.document_id, self.current)


class PagesRow(msgspec.Struct, frozen=True, kw_only=True):
    """Pages `first` to `last`, which travel, wait and finish together: one page for OCR, up to fifty for a text layer.

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


SURROUNDINGS = {"failed"} | {kind.code for kind in PermanentError.__subclasses__() if kind.surroundings}
"""Codes of rejections that were not in the bytes: the same may succeed later."""
_RANK: dict[PageState, int] = {"WAITING": 0, "QUARANTINED": 1, "DEGRADED": 2, "DONE": 3}


def advances(row: PagesRow, outcome: Outcome) -> bool:
    """Whether an outcome may be written over a row; pure.

    A reading is a function of the bytes, so a late success is as good as a timely one; a failure only speaks for its own generation.
    """
    if outcome.state == "QUARANTINED":
        return row.state == "WAITING" and outcome.generation == row.generation
    return _RANK[outcome.state] > _RANK[row.state]


def improves(row: PagesRow) -> bool:
    """Whether advancing this row changes something that may already have been delivered."""
    return row.state != "WAITING"


def reopens(document: DocumentRow) -> bool:
    """Whether a new upload of the same bytes is worth another try: what failed was not in the bytes."""
    return document.state == "REJECTED" and document.code in SURROUNDINGS


def counted(rows: Iterable[PagesRow]) -> dict[str, int]:
    """The document's counters as its rows have them: a document that was opened again has pages that are done already."""
    counts = dict.fromkeys(("waiting", "done", "degraded", "quarantined"), 0)
    for row in rows:
        counts[row.state.lower()] += row.pages
    return counts


def may_assemble(document: DocumentRow, revision: int) -> bool:
    """Whether this revision is still to be assembled, and can be."""
    return not document.waiting and document.current < revision and document.state not in {"RECEIVED", "REJECTED"}


def has_ended(document: DocumentRow) -> bool:
    """Whether nothing more is to come of the document by itself."""
    return document.state == "REJECTED" or (document.state in DELIVERED and document.current >= document.revision)


def may_publish(document: DocumentRow, revision: int) -> bool:
    """Whether an assembly that began may end: not over a newer one, and not over a document that was opened again meanwhile."""
    return document.current < revision and document.state not in {"RECEIVED", "PLANNED", "READING"}


def settle(row: PagesRow, outcome: Outcome) -> PagesRow:
    """The row after an outcome that advances it; what the outcome does not know (attempts, generation) stays."""
    return msgspec.structs.replace(
        row,
        state=outcome.state,
        code=outcome.code,
        reason=outcome.reason,
        engine=outcome.engine,
        result_key=outcome.result_key,
        confidence=outcome.confidence,
        seconds=outcome.seconds,
    )


def tally(moves: Sequence[tuple[PagesRow, Outcome]]) -> dict[PageState, int]:
    """How many pages each state gains (or loses, negative) by these moves."""
    change: dict[PageState, int] = {"WAITING": 0, "DONE": 0, "DEGRADED": 0, "QUARANTINED": 0}
    for row, outcome in moves:
        change[row.state] -= row.pages
        change[outcome.state] += row.pages
    return change


def single_rows(row: PagesRow, now: float) -> list[PagesRow]:
    """A packed row as one row a page, none of them tried yet: the failures so far were the packet's."""
    return [msgspec.structs.replace(row, first=n, last=n, attempts=0, sent_at=now) for n in range(row.first, row.last + 1)]


def redriven(row: PagesRow, now: float) -> PagesRow:
    """A quarantined row that waits again: untried, with all its re-sends before it."""
    cleared: dict[str, Any] = {"attempts": 0, "resends": 0, "code": "", "reason": "", "failure": "", "sent_at": now}
    return msgspec.structs.replace(row, state="WAITING", generation=row.generation + 1, redrives=row.redrives + 1, **cleared)


def reopened(document: DocumentRow, now: float) -> dict[str, Any]:
    """What changes in a rejected document that is tried again."""
    return {
        "state": "RECEIVED",
        "generation": document.generation + 1,
        "code": "",
        "reason": "",
        "failure": "",
        "moved_at": now,
        "sent_at": now,
        "prods": 0,
    }


def uncovered(rows: Iterable[PagesRow], held: Iterable[PagesRow]) -> list[PagesRow]:
    """These rows without the pages that others hold, cut where those stand: a plan that is replayed may pack its pages in another way."""
    taken = {n for row in held for n in range(row.first, row.last + 1)}
    left = []
    for row in rows:
        free = [n for n in range(row.first, row.last + 1) if n not in taken]
        taken.update(free)
        for _, run in groupby(enumerate(free), lambda place: place[1] - place[0]):
            numbers = [n for _, n in run]
            left.append(msgspec.structs.replace(row, first=numbers[0], last=numbers[-1]))
    return left


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
