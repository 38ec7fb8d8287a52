"""What reconciling and redriving ask of the ledger on DynamoDB: an index of the documents to look at, and conditional moves that send again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from escriba.aws.items import FAILED, UNDER_WAY, document_key, from_item, job_key, names, pages_key, to_values
from escriba.aws.table import Table
from escriba.ledger import FORGOTTEN, DocumentRow, JobRow, PagesRow
from escriba.moves import has_ended, redriven, reopened
from escriba.ports import Clock
from escriba.recovery import may_redrive
from escriba.topology import WATCH

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoRecovery:
    """Implements `recovery.Recovery` on the ledger's table."""

    def __init__(self, client: DynamoDBClient, table: str, clock: Clock) -> None:
        self._table, self._clock = Table(client, table, clock), clock

    def in_flight(self) -> Iterator[DocumentRow]:
        return self._watched(UNDER_WAY)

    def failed(self) -> Iterator[DocumentRow]:
        return self._watched(FAILED)

    def _watched(self, state: str) -> Iterator[DocumentRow]:
        for keys in self._table.index(WATCH, state):
            document = self._table.get({"pk": keys["pk"], "sk": keys["sk"]}, DocumentRow)
            if document is not None:
                yield document

    def leave(self, document: DocumentRow) -> bool:
        if not has_ended(document):
            return False
        held = {"was": document.state, "generation": document.generation, "revision": document.revision, "current": document.current}
        condition = "#state = :was AND #generation = :generation AND #revision = :revision AND #current = :current"
        return (
            self._apply(document_key(document.document_id), {WATCH: None if document.state == "DONE" else FAILED}, condition, held)
            is not None
        )

    def prod(self, document: DocumentRow) -> DocumentRow | None:
        change = {"prods": document.prods + 1, "moved_at": self._now()}
        held = {"was": document.state, "moved": document.moved_at, "prods": document.prods}
        item = self._apply(document_key(document.document_id), change, "#state = :was AND #moved_at = :moved AND #prods = :prods", held)
        return None if item is None else from_item(item, DocumentRow)

    def resend(self, document_id: str, row: PagesRow) -> PagesRow | None:
        change = {"generation": row.generation + 1, "resends": row.resends + 1, "sent_at": self._now()}
        condition = "#state = :was AND #generation = :held AND attribute_not_exists(#unpacked)"
        item = self._apply(pages_key(document_id, row.first, row.last), change, condition, {"was": "WAITING", "held": row.generation})
        return None if item is None else from_item(item, PagesRow)

    def note_upload(self, job: JobRow) -> bool:
        return self._table.put_new(job_key(job.job_id), job, unless="attribute_not_exists(pk) OR code = :none", none=FORGOTTEN)

    def redrive(self, document_id: str, row: PagesRow) -> PagesRow | None:
        def attempt() -> PagesRow | None:
            held = self._table.get(pages_key(document_id, row.first, row.last), PagesRow)
            document = self._table.get(document_key(document_id), DocumentRow)
            if held is None or document is None or not may_redrive(document, held, row.generation):
                return None
            again = redriven(held, self._now())
            fields = ("state", "generation", "attempts", "resends", "redrives", "code", "reason", "failure", "sent_at")
            update = self._table.update(
                pages_key(document_id, row.first, row.last),
                {name: getattr(again, name) for name in fields},
                "#state = :was AND #generation = :held AND attribute_not_exists(#unpacked)",
                {"was": "QUARANTINED", "held": held.generation},
            )
            actions: Any = [{"Update": update}, {"Update": self._waiting_again(document, held.pages)}]
            self._table.client.transact_write_items(TransactItems=actions)
            return again

        return self._table.until_it_lands(attempt)

    def _waiting_again(self, document: DocumentRow, pages: int) -> Any:
        update = self._table.update(
            document_key(document.document_id),
            {
                "state": "READING",
                "revision": document.revision + (document.revision == document.started),
                "moved_at": self._now(),
                "sent_at": self._now(),
                "prods": 0,
                WATCH: UNDER_WAY,
            },
            "#state = :was AND #revision = :revision AND #started = :started",
            {"was": document.state, "revision": document.revision, "started": document.started, "more": pages, "less": -pages},
        )
        update["UpdateExpression"] += " ADD #waiting :more, #quarantined :less"
        return update | {"ExpressionAttributeNames": names(update)}

    def reopen(self, document: DocumentRow) -> DocumentRow | None:
        change = {**reopened(document, self._now()), WATCH: UNDER_WAY}
        held = {"was": "REJECTED", "held": document.generation}
        item = self._apply(document_key(document.document_id), change, "#state = :was AND #generation = :held", held)
        return None if item is None else from_item(item, DocumentRow)

    def adopt(self, document: DocumentRow, policy: str) -> DocumentRow | None:
        held = {"was": "PARTIAL", "held": document.policy}
        item = self._apply(document_key(document.document_id), {"policy": policy}, "#state = :was AND #policy = :held", held)
        return None if item is None else from_item(item, DocumentRow)

    def forget(self, document: DocumentRow) -> None:
        for item in self._table.query(f"DOC#{document.document_id}", ""):
            self._table.remove({"pk": item["pk"], "sk": item["sk"]})
        self._table.remove(job_key(document.job_id))

    def _apply(self, key: Any, change: dict[str, Any], condition: str, held: dict[str, Any]) -> Any:
        """Set what changes, remove what becomes None, under a condition; the item as it is then, or None."""
        gone = [name for name, value in change.items() if value is None]
        kept = {name: value for name, value in change.items() if value is not None}
        condition = f"attribute_exists(#pk) AND {condition}"
        if kept:
            request = self._table.update(key, kept, condition, held)
        else:
            request = {"TableName": self._table.name, "Key": key, "UpdateExpression": "", "ConditionExpression": condition}
            request["ExpressionAttributeValues"] = to_values(held)
        if gone:
            request["UpdateExpression"] = (request["UpdateExpression"] + " REMOVE " + ", ".join(f"#{name}" for name in gone)).strip()
        request["ExpressionAttributeNames"] = names(request)
        return self._table.apply(request)

    def _now(self) -> float:
        return self._clock.now().timestamp()
