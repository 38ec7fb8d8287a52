"""The ledger in memory: what DynamoDB does with conditions, done under one lock."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from escriba.errors import NotFound
from escriba.ledger import (
    DELIVERED,
    FINISHED,
    FORGOTTEN,
    DeadLetter,
    DocumentRow,
    DocumentState,
    JobRow,
    Outcome,
    PagesRow,
)
from escriba.moves import (
    advances,
    counted,
    escalated,
    improves,
    may_assemble,
    may_publish,
    reopened,
    reopens,
    settle,
    single_rows,
    tally,
    uncovered,
)
from escriba.ports import Clock


class MemoryLedger:
    """Implements `ledger.Ledger`; thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._jobs: dict[str, JobRow] = {}
        self._documents: dict[str, DocumentRow] = {}
        self._pages: dict[str, dict[tuple[int, int], PagesRow]] = {}
        self._letters: dict[str, DeadLetter] = {}
        self._watched: dict[str, bool] = {}
        """Documents that the reconciler looks at: True while under way, False once they have failed."""

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def accept(self, job: JobRow, document: DocumentRow) -> DocumentRow:
        with self._lock:
            if job.job_id not in self._jobs or not self._jobs[job.job_id].document_id:
                self._jobs[job.job_id] = job
            known = self._documents.get(document.document_id)
            if known is None or reopens(known):
                self._watched[document.document_id] = True
            if known is None:
                now = self._now()
                self._documents[document.document_id] = replace(document, received_at=now, moved_at=now)
            elif reopens(known):
                again = reopened(known, self._now())
                self._documents[document.document_id] = replace(known, job_id=job.job_id, policy=document.policy, **again)
            return self._documents[document.document_id]

    def reject_job(self, job: JobRow) -> None:
        with self._lock:
            if job.job_id not in self._jobs or self._jobs[job.job_id].code == FORGOTTEN:
                self._jobs[job.job_id] = job

    def job(self, job_id: str) -> JobRow | None:
        return self._jobs.get(job_id)

    def document(self, document_id: str) -> DocumentRow:
        try:
            return self._documents[document_id]
        except KeyError:
            raise NotFound(f"the ledger knows no document {document_id}") from None

    def documents(self) -> Iterator[DocumentRow]:
        with self._lock:
            return iter(list(self._documents.values()))

    def pages(self, document_id: str) -> Iterator[PagesRow]:
        with self._lock:
            return iter(sorted(self._pages.get(document_id, {}).values(), key=lambda row: row.first))

    def pages_row(self, document_id: str, first: int, last: int) -> PagesRow | None:
        with self._lock:
            return self._pages.get(document_id, {}).get((first, last))

    def add_pages(self, document_id: str, rows: Sequence[PagesRow]) -> None:
        with self._lock:
            held = self._pages.setdefault(self.document(document_id).document_id, {})
            for row in uncovered(rows, held.values()):
                held[row.first, row.last] = replace(row, sent_at=self._now())
                self._documents[document_id] = replace(self.document(document_id), moved_at=self._now())

    def planned(self, document_id: str, total: int, media_type: str) -> DocumentRow:
        with self._lock:
            document = self.document(document_id)
            if document.state == "RECEIVED":
                counts = counted(self._pages.get(document_id, {}).values())
                document = replace(document, state="PLANNED", total=total, media_type=media_type, moved_at=self._now(), **counts)
                self._documents[document_id] = document
            return document

    def reading(self, document_id: str) -> DocumentRow:
        with self._lock:
            document = self.document(document_id)
            if document.state == "PLANNED":
                document = self._documents[document_id] = replace(document, state="READING", moved_at=self._now(), sent_at=self._now())
            return document

    def complete(self, document_id: str, outcomes: Sequence[Outcome]) -> DocumentRow:
        with self._lock:
            document, held = self.document(document_id), self._pages.get(document_id, {})
            moves = [
                (row, o)
                for o in {(o.first, o.last): o for o in outcomes}.values()
                if (row := held.get((o.first, o.last))) is not None and advances(row, o)
            ]
            if not moves:
                return document
            for row, outcome in moves:
                held[row.first, row.last] = settle(row, outcome)
            change = tally(moves)
            asks = document.revision == document.started and any(improves(row) for row, _ in moves)
            document = replace(
                document,
                waiting=document.waiting + change["WAITING"],
                done=document.done + change["DONE"],
                degraded=document.degraded + change["DEGRADED"],
                quarantined=document.quarantined + change["QUARANTINED"],
                revision=document.revision + asks,
                moved_at=self._now(),
            )
            if asks:
                self._watched[document_id] = True
            self._documents[document_id] = document
            return document

    def escalate(self, document_id: str, row: PagesRow, reading: Outcome, queue: str) -> PagesRow | None:
        with self._lock:
            if self.pages_row(document_id, row.first, row.last) != row or row.state != "WAITING":
                return None
            now = self._now()
            moved = replace(row, **escalated(row, reading, queue, now))
            self._pages[document_id][row.first, row.last] = moved
            self._documents[document_id] = replace(self.document(document_id), moved_at=now, escalated_at=now)
            return moved

    def count_failure(self, document_id: str, first: int, last: int, generation: int, failure: str) -> int:
        with self._lock:
            row = self.pages_row(document_id, first, last)
            if row is None or row.state != "WAITING" or row.generation != generation:
                return 0
            row = replace(row, attempts=row.attempts + 1, failure=failure)
            self._pages[document_id][first, last] = row
            return row.attempts

    def unpack(self, document_id: str, first: int, last: int) -> Sequence[PagesRow]:
        with self._lock:
            held = self._pages.get(document_id, {})
            row = held.get((first, last))
            if row is not None and row.state == "WAITING" and row.pages > 1:
                del held[first, last]
                held.update({(single.first, single.last): single for single in single_rows(row, self._now())})
            return [held[n, n] for n in range(first, last + 1) if (n, n) in held]

    def note_failure(self, document_id: str, failure: str) -> None:
        with self._lock:
            self._documents[document_id] = replace(self.document(document_id), failure=failure)

    def reject(self, document_id: str, code: str, reason: str) -> DocumentRow:
        with self._lock:
            document = self.document(document_id)
            if document.state not in FINISHED:
                document = replace(document, state="REJECTED", code=code, reason=reason, completed_at=self._now())
                self._documents[document_id] = document
            return document

    def begin_assembly(self, document_id: str, revision: int) -> DocumentRow | None:
        with self._lock:
            document = self.document(document_id)
            if not may_assemble(document, revision):
                return None
            state: DocumentState = document.state if document.state in DELIVERED else "ASSEMBLING"
            document = replace(document, state=state, started=max(document.started, revision), moved_at=self._now())
            self._documents[document_id] = document
            return document

    def publish(self, document_id: str, revision: int, state: DocumentState) -> DocumentRow | None:
        with self._lock:
            document = self.document(document_id)
            if document.current == revision:
                return document
            if not may_publish(document, revision):
                return None
            document = replace(document, current=revision, state=state, code="", reason="", completed_at=self._now())
            self._documents[document_id] = document
            self._watched[document_id] = True
            return document

    def record_dead_letter(self, letter: DeadLetter) -> None:
        with self._lock:
            self._letters.setdefault(letter.message_id, letter)

    def dead_letters(self) -> Iterator[DeadLetter]:
        with self._lock:
            return iter(list(self._letters.values()))
