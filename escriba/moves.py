"""What a move does to the ledger's rows, and whether it may: pure, so that every adapter moves alike.

A page row is WAITING, then QUARANTINED, DEGRADED or DONE, and never goes back to something worse; only a redrive makes it wait again,
in a new generation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import msgspec

from escriba.document import PageState
from escriba.errors import PermanentError
from escriba.ledger import DELIVERED, DocumentRow, Outcome, PagesRow

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


def escalated(row: PagesRow, reading: Outcome, queue: str, now: float) -> dict[str, Any]:
    """What changes in a waiting row that keeps a reading and goes on to wait for a better one: untried there.

    The reading's own state is how the row ends where no better one comes; how long it may wait is counted from the first time.
    """
    return {
        "queue": queue,
        "kept_as": reading.state,
        "reason": reading.reason,
        "engine": reading.engine,
        "result_key": reading.result_key,
        "confidence": reading.confidence,
        "seconds": reading.seconds,
        "sent_at": now,
        "escalated_at": row.escalated_at or now,
        "attempts": 0,
        "failure": "",
    }


def given_up(row: PagesRow, reason: str) -> Outcome:
    """How a row ends that nobody reads any more: with the reading that it keeps, DEGRADED if that wanted a better one, else QUARANTINED."""
    state: PageState = row.kept_as if row.result_key else "QUARANTINED"
    return Outcome(
        first=row.first,
        last=row.last,
        generation=row.generation,
        state=state,
        reason=row.reason if state == "DONE" else reason,
        engine=row.engine,
        result_key=row.result_key,
        confidence=row.confidence,
        seconds=row.seconds,
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
