"""The ledger on DynamoDB: one table, every move a conditional write, every set of completions one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from escriba.aws.items import UNDER_WAY, document_key, from_item, job_key, key, names, pages_key, to_item, to_values
from escriba.aws.table import ATTEMPTS, Table, lost
from escriba.errors import NotFound
from escriba.ledger import (
    DELIVERED,
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
from escriba.topology import WATCH

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_COUNTERS = ("waiting", "done", "degraded", "quarantined")
_DEAD_LETTERS = "DEAD-LETTERS"
_ROWS_AT_ONCE = 99  # with the document they make a transaction of 100, the most there may be


class DynamoLedger:
    """Implements `ledger.Ledger`. Partition `DOC#<id>` holds a document (`DOC`) and its rows (`PAGES#first-last`); `JOB#<id>` an upload."""

    def __init__(self, client: DynamoDBClient, table: str, clock: Clock) -> None:
        self._table, self._clock = Table(client, table, clock), clock

    def accept(self, job: JobRow, document: DocumentRow) -> DocumentRow:
        accepted = self._accept_document(job, document)
        # The job last: whoever finds it on record finds its document too.
        self._table.put_new(job_key(job.job_id), job, unless="attribute_not_exists(pk) OR document_id = :none")
        return accepted

    def _accept_document(self, job: JobRow, document: DocumentRow) -> DocumentRow:
        row = msgspec.structs.replace(document, received_at=self._now(), moved_at=self._now())
        if self._table.put_new(document_key(document.document_id), row, more={WATCH: UNDER_WAY}):
            return row
        known = self.document(document.document_id)
        if reopens(known):
            return self._move_document(
                known.document_id,
                {
                    **reopened(known, self._now()),
                    "job_id": job.job_id,
                    "policy": document.policy,  # what failed may be what has been changed: a limit, the passwords' secret
                    WATCH: UNDER_WAY,
                },
                "#state = :was AND #generation = :held",
                {"was": "REJECTED", "held": known.generation},
            ) or self.document(known.document_id)
        return known

    def reject_job(self, job: JobRow) -> None:
        self._table.put_new(job_key(job.job_id), job, unless="attribute_not_exists(pk) OR code = :none", none=FORGOTTEN)

    def job(self, job_id: str) -> JobRow | None:
        return self._table.get(job_key(job_id), JobRow)

    def document(self, document_id: str) -> DocumentRow:
        row = self._table.get(document_key(document_id), DocumentRow)
        if row is None:
            raise NotFound(f"the ledger knows no document {document_id}")
        return row

    def documents(self) -> Iterator[DocumentRow]:
        return (from_item(item, DocumentRow) for item in self._table.scan("DOC"))

    def pages(self, document_id: str) -> Iterator[PagesRow]:
        for item in self._table.query(f"DOC#{document_id}", "PAGES#"):
            if "unpacked" not in item:
                yield from_item(item, PagesRow)

    def pages_row(self, document_id: str, first: int, last: int) -> PagesRow | None:
        item = self._table.item(pages_key(document_id, first, last))
        return None if item is None or "unpacked" in item else from_item(item, PagesRow)

    def add_pages(self, document_id: str, rows: Sequence[PagesRow]) -> None:
        def attempt() -> bool:
            document = self._table.item(document_key(document_id))
            if document is None:
                raise NotFound(f"the ledger knows no document {document_id}")
            # Two plans at once may pack the same pages in different ways: the number of rows laid down so far lets only one of them write.
            laid = int(document["laid"]["N"]) if "laid" in document else 0
            # Packets taken apart among them: they hold their pages at every moment, even while their single rows are written.
            held = (from_item(item, PagesRow) for item in self._table.query(f"DOC#{document_id}", "PAGES#"))
            left = uncovered(rows, held)
            some = [msgspec.structs.replace(row, sent_at=self._now()) for row in left[:_ROWS_AT_ONCE]]
            if some:
                guard = "attribute_not_exists(#laid) OR #laid = :held"
                count = self._table.update(
                    document_key(document_id), {"laid": laid + len(some), "moved_at": self._now()}, guard, {"held": laid}
                )
                self._table.client.transact_write_items(TransactItems=[{"Update": count}, *(self._put(document_id, r) for r in some)])
            return len(some) == len(left)

        while not self._table.until_it_lands(attempt):
            pass

    def _put(self, document_id: str, row: PagesRow) -> Any:
        item = {**pages_key(document_id, row.first, row.last), **to_item(row)}
        return {"Put": {"TableName": self._table.name, "Item": item}}

    def planned(self, document_id: str, total: int, media_type: str) -> DocumentRow:
        for _ in range(ATTEMPTS):
            document = self.document(document_id)
            if document.state != "RECEIVED":
                return document
            change = {"state": "PLANNED", "total": total, "media_type": media_type, "moved_at": self._now()}
            change |= counted(self.pages(document_id))
            # Pages of an earlier generation may be completed while they are counted.
            held = {f"held_{name}": getattr(document, name) for name in _COUNTERS}
            condition = " AND ".join(["#state = :was", *(f"#{name} = :held_{name}" for name in _COUNTERS)])
            if (moved := self._move_document(document_id, change, condition, {"was": "RECEIVED", **held})) is not None:
                return moved
        raise lost()

    def reading(self, document_id: str) -> DocumentRow:
        return self._move_document(
            document_id, {"state": "READING", "moved_at": self._now(), "sent_at": self._now()}, "#state = :was", {"was": "PLANNED"}
        ) or self.document(document_id)

    def complete(self, document_id: str, outcomes: Sequence[Outcome]) -> DocumentRow:
        def attempt() -> DocumentRow:
            rows = ((self.pages_row(document_id, o.first, o.last), o) for o in {(o.first, o.last): o for o in outcomes}.values())
            moves = [(row, o) for row, o in rows if row is not None and advances(row, o)]
            if moves:
                actions = [self._settle_action(document_id, row, outcome) for row, outcome in moves]
                self._table.client.transact_write_items(TransactItems=[*actions, self._tally_action(document_id, moves)])
            return self.document(document_id)

        return self._table.until_it_lands(attempt)

    def _settle_action(self, document_id: str, row: PagesRow, outcome: Outcome) -> Any:
        change = msgspec.structs.asdict(settle(row, outcome))
        fields = {k: change[k] for k in ("state", "code", "reason", "engine", "result_key", "confidence", "seconds")}
        return {
            "Update": self._table.update(
                pages_key(document_id, row.first, row.last),
                fields,
                "#state = :was AND #generation = :held AND attribute_not_exists(#unpacked)",
                {"was": row.state, "held": row.generation},
            )
        }

    def _tally_action(self, document_id: str, moves: Sequence[tuple[PagesRow, Outcome]]) -> Any:
        change = tally(moves)
        gains = {"waiting": change["WAITING"], "done": change["DONE"], "degraded": change["DEGRADED"], "quarantined": change["QUARANTINED"]}
        update: dict[str, Any] = {
            "TableName": self._table.name,
            "Key": document_key(document_id),
            "UpdateExpression": "SET #moved_at = :now ADD " + ", ".join(f"#{name} :{name}" for name in gains),
        }
        values: dict[str, Any] = {**gains, "now": self._now()}
        if any(improves(row) for row, _ in moves):
            # An assembly may be at work on the old rows: unless one is still to begin, ask for a new revision with the same breath.
            document = self.document(document_id)
            values["revision"], values["started"] = document.revision, document.started
            update["ConditionExpression"] = "#revision = :revision AND #started = :started"
            if document.revision == document.started:
                values["next"], values["under_way"] = document.revision + 1, UNDER_WAY
                update["UpdateExpression"] = update["UpdateExpression"].replace(
                    "SET ", f"SET #revision = :next, #{WATCH} = :under_way, ", 1
                )
        update["ExpressionAttributeNames"] = names(update)
        update["ExpressionAttributeValues"] = to_values(values)
        return {"Update": update}

    def escalate(self, document_id: str, row: PagesRow, reading: Outcome, queue: str) -> PagesRow | None:
        now = self._now()
        change = escalated(row, reading, queue, now)
        move = self._table.update(
            pages_key(document_id, row.first, row.last),
            change,
            "#state = :was AND #generation = :held AND #queue = :held_queue AND attribute_not_exists(#unpacked)",
            {"was": "WAITING", "held": row.generation, "held_queue": row.queue},
        )
        note = self._table.update(document_key(document_id), {"moved_at": now, "escalated_at": now}, "attribute_exists(pk)", {})

        def attempt() -> PagesRow | None:
            held = self.pages_row(document_id, row.first, row.last)
            if held is None or (held.state, held.generation, held.queue) != ("WAITING", row.generation, row.queue):
                return None
            self._table.client.transact_write_items(TransactItems=[{"Update": move}, {"Update": note}])
            return msgspec.structs.replace(held, **change)

        return self._table.until_it_lands(attempt)

    def count_failure(self, document_id: str, first: int, last: int, generation: int, failure: str) -> int:
        item = self._table.apply(
            {
                "TableName": self._table.name,
                "Key": pages_key(document_id, first, last),
                "UpdateExpression": "SET #failure = :failure ADD #attempts :one",
                "ConditionExpression": "#state = :waiting AND #generation = :held AND attribute_not_exists(#unpacked)",
                "ExpressionAttributeNames": {f"#{name}": name for name in ("failure", "attempts", "state", "generation", "unpacked")},
                "ExpressionAttributeValues": to_values({"failure": failure, "one": 1, "waiting": "WAITING", "held": generation}),
            }
        )
        return 0 if item is None else from_item(item, PagesRow).attempts

    def unpack(self, document_id: str, first: int, last: int) -> Sequence[PagesRow]:
        def attempt() -> None:
            row = self.pages_row(document_id, first, last)
            if row is None or row.state != "WAITING" or row.pages == 1:
                return
            # The packed row stays as a mark: were it deleted, a late replay of the plan would create it again.
            mark = self._table.update(
                pages_key(document_id, first, last),
                {"unpacked": True},
                "#state = :was AND attribute_not_exists(#unpacked)",
                {"was": "WAITING"},
            )
            puts = [self._put(document_id, single) for single in single_rows(row, self._now())]
            self._table.client.transact_write_items(TransactItems=[{"Update": mark}, *puts])

        self._table.until_it_lands(attempt)
        return [row for row in self.pages(document_id) if row.first == row.last and first <= row.first <= last]

    def note_failure(self, document_id: str, failure: str) -> None:
        if self._move_document(document_id, {"failure": failure}, "attribute_exists(#pk)", {}) is None:
            raise NotFound(f"the ledger knows no document {document_id}")

    def reject(self, document_id: str, code: str, reason: str) -> DocumentRow:
        change = {"state": "REJECTED", "code": code, "reason": reason, "completed_at": self._now()}
        condition = "NOT #state IN (:done, :partial, :rejected)"
        ends = {"done": "DONE", "partial": "PARTIAL", "rejected": "REJECTED"}
        return self._move_document(document_id, change, condition, ends) or self.document(document_id)

    def begin_assembly(self, document_id: str, revision: int) -> DocumentRow | None:
        for _ in range(ATTEMPTS):
            # Again after a lost race, or after an answer that was lost on its way: it is in hand, or it is another's.
            document = self.document(document_id)
            if not may_assemble(document, revision):
                return None
            state: DocumentState = document.state if document.state in DELIVERED else "ASSEMBLING"
            begun = self._move_document(
                document_id,
                {"state": state, "started": max(document.started, revision), "moved_at": self._now()},
                "#state = :was AND #started = :held AND #waiting = :none AND #current = :current",
                {"was": document.state, "held": document.started, "none": 0, "current": document.current},
            )
            if begun is not None:
                return begun
        raise lost()

    def publish(self, document_id: str, revision: int, state: DocumentState) -> DocumentRow | None:
        # To be looked at once more, even one that had been given up and left.
        change = {"current": revision, "state": state, "code": "", "reason": "", "completed_at": self._now(), WATCH: UNDER_WAY}
        for _ in range(ATTEMPTS):
            document = self.document(document_id)
            if document.current == revision:
                return document
            if not may_publish(document, revision):
                return None
            held = {"was": document.state, "held": document.current}
            if (published := self._move_document(document_id, change, "#state = :was AND #current = :held", held)) is not None:
                return published
        raise lost()

    def record_dead_letter(self, letter: DeadLetter) -> None:
        self._table.put_new(key(_DEAD_LETTERS, letter.message_id), letter)

    def dead_letters(self) -> Iterator[DeadLetter]:
        return (from_item(item, DeadLetter) for item in self._table.query(_DEAD_LETTERS, ""))

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _move_document(self, document_id: str, change: dict[str, Any], condition: str, values: dict[str, Any]) -> DocumentRow | None:
        request = self._table.update(document_key(document_id), change, f"attribute_exists(#pk) AND {condition}", values)
        item = self._table.apply(request)
        return None if item is None else from_item(item, DocumentRow)
