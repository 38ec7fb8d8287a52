"""What reconciling and redriving ask of the ledger in memory: it works on that ledger's own rows, under its lock."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from escriba.ledger import FORGOTTEN, DocumentRow, JobRow, PagesRow
from escriba.memory.ledger import MemoryLedger
from escriba.moves import has_ended, redriven, reopened
from escriba.recovery import may_redrive

# One store in two classes, so that a consumer of the straight line sees none of these moves.
# ruff: noqa: SLF001


class MemoryRecovery:
    """Implements `recovery.Recovery`."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    def in_flight(self) -> Iterator[DocumentRow]:
        return self._watched(under_way=True)

    def failed(self) -> Iterator[DocumentRow]:
        return self._watched(under_way=False)

    def _watched(self, *, under_way: bool) -> Iterator[DocumentRow]:
        with self._ledger._lock:
            found = [self._ledger._documents[name] for name, state in self._ledger._watched.items() if state is under_way]
        return iter(sorted(found, key=lambda document: document.received_at))

    def leave(self, document: DocumentRow) -> bool:
        with self._ledger._lock:
            held = self._ledger._documents.get(document.document_id)
            if held is None or not has_ended(held) or _end(held) != _end(document):
                return False
            if held.state == "DONE":
                self._ledger._watched.pop(document.document_id, None)
            else:
                self._ledger._watched[document.document_id] = False
            return True

    def prod(self, document: DocumentRow) -> DocumentRow | None:
        with self._ledger._lock:
            held = self._ledger._documents.get(document.document_id)
            if held is None or (held.state, held.moved_at, held.prods) != (document.state, document.moved_at, document.prods):
                return None
            return self._store(replace(held, prods=document.prods + 1, moved_at=self._ledger._now()))

    def resend(self, document_id: str, row: PagesRow) -> PagesRow | None:
        with self._ledger._lock:
            held = self._ledger.pages_row(document_id, row.first, row.last)
            if held is None or (held.state, held.generation) != ("WAITING", row.generation):
                return None
            return self._store_row(
                document_id, replace(held, generation=held.generation + 1, resends=held.resends + 1, sent_at=self._ledger._now())
            )

    def note_upload(self, job: JobRow) -> bool:
        with self._ledger._lock:
            known = self._ledger._jobs.get(job.job_id)
            if known is not None and known.code != FORGOTTEN:
                return False
            self._ledger._jobs[job.job_id] = job
            return True

    def redrive(self, document_id: str, row: PagesRow) -> PagesRow | None:
        with self._ledger._lock:
            held, document = self._ledger.pages_row(document_id, row.first, row.last), self._ledger._documents.get(document_id)
            if held is None or document is None or not may_redrive(document, held, row.generation):
                return None
            now = self._ledger._now()
            self._store(
                replace(
                    document,
                    state="READING",
                    waiting=document.waiting + held.pages,
                    quarantined=document.quarantined - held.pages,
                    revision=document.revision + (document.revision == document.started),
                    moved_at=now,
                    sent_at=now,
                    prods=0,
                )
            )
            self._ledger._watched[document_id] = True
            return self._store_row(document_id, redriven(held, now))

    def reopen(self, document: DocumentRow) -> DocumentRow | None:
        with self._ledger._lock:
            held = self._ledger._documents.get(document.document_id)
            if held is None or (held.state, held.generation) != ("REJECTED", document.generation):
                return None
            self._ledger._watched[document.document_id] = True
            return self._store(replace(held, **reopened(held, self._ledger._now())))

    def adopt(self, document: DocumentRow, policy: str) -> DocumentRow | None:
        with self._ledger._lock:
            held = self._ledger._documents.get(document.document_id)
            if held is None or (held.state, held.policy) != ("PARTIAL", document.policy):
                return None
            return self._store(replace(held, policy=policy))

    def forget(self, document: DocumentRow) -> None:
        with self._ledger._lock:
            self._ledger._documents.pop(document.document_id, None)
            self._ledger._pages.pop(document.document_id, None)
            self._ledger._jobs.pop(document.job_id, None)
            self._ledger._watched.pop(document.document_id, None)

    def _store(self, document: DocumentRow) -> DocumentRow:
        self._ledger._documents[document.document_id] = document
        return document

    def _store_row(self, document_id: str, row: PagesRow) -> PagesRow:
        self._ledger._pages[document_id][row.first, row.last] = row
        return row


def _end(document: DocumentRow) -> tuple[str, int, int, int]:
    """What tells one end of a document from another."""
    return document.state, document.generation, document.revision, document.current
