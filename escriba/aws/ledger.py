"""The ledger on DynamoDB: one table, every move a conditional write, every set of completions one transaction."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from botocore.exceptions import ClientError

from escriba.aws.items import document_key, from_item, job_key, key, names, pages_key, to_item, to_values
from escriba.errors import Conflict, NotFound
from escriba.ledger import (
    DELIVERED,
    DeadLetter,
    DocumentRow,
    DocumentState,
    JobRow,
    Outcome,
    PagesRow,
    advances,
    improves,
    reopens,
    settle,
    single_rows,
    tally,
)
from escriba.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")
_ATTEMPTS = 60
_DEAD_LETTERS = "DEAD-LETTERS"
_CONDITION_FAILED = "ConditionalCheckFailedException"


class DynamoLedger:
    """Implements `ledger.Ledger`. Partition `DOC#<id>` holds a document (`DOC`) and its rows (`PAGES#first-last`); `JOB#<id>` an upload."""

    def __init__(self, client: DynamoDBClient, table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def accept(self, job: JobRow, document: DocumentRow) -> DocumentRow:
        row = msgspec.structs.replace(document, received_at=self._now())
        self._put_new(job_key(job.job_id), job)
        if self._put_new(document_key(document.document_id), row):
            return row
        known = self.document(document.document_id)
        if reopens(known):
            return self._move_document(
                known.document_id,
                {
                    "state": "RECEIVED",
                    "generation": known.generation + 1,
                    "job_id": job.job_id,
                    "policy": document.policy,  # what failed may be what has been changed: a limit, the passwords' secret
                    "code": "",
                    "reason": "",
                },
                "#state = :was AND #generation = :held",
                {"was": "REJECTED", "held": known.generation},
            ) or self.document(known.document_id)
        return known

    def reject_job(self, job: JobRow) -> None:
        self._put_new(job_key(job.job_id), job)

    def job(self, job_id: str) -> JobRow | None:
        return self._get(job_key(job_id), JobRow)

    def document(self, document_id: str) -> DocumentRow:
        row = self._get(document_key(document_id), DocumentRow)
        if row is None:
            raise NotFound(f"the ledger knows no document {document_id}")
        return row

    def documents(self) -> Iterator[DocumentRow]:
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table, FilterExpression="sk = :sk", ExpressionAttributeValues=to_values({"sk": "DOC"}), ConsistentRead=True
        )
        return (from_item(item, DocumentRow) for page in pages for item in page["Items"])

    def pages(self, document_id: str) -> Iterator[PagesRow]:
        for item in self._query(f"DOC#{document_id}", "PAGES#"):
            if "unpacked" not in item:
                yield from_item(item, PagesRow)

    def pages_row(self, document_id: str, first: int, last: int) -> PagesRow | None:
        item = self._client.get_item(TableName=self._table, Key=pages_key(document_id, first, last), ConsistentRead=True).get("Item")
        return None if item is None or "unpacked" in item else from_item(item, PagesRow)

    def add_pages(self, document_id: str, rows: Sequence[PagesRow]) -> None:
        for row in rows:
            self._put_new(pages_key(document_id, row.first, row.last), msgspec.structs.replace(row, sent_at=self._now()))

    def planned(self, document_id: str, total: int, media_type: str) -> DocumentRow:
        change = {"state": "PLANNED", "total": total, "waiting": total, "media_type": media_type}
        return self._move_document(document_id, change, "#state = :was", {"was": "RECEIVED"}) or self.document(document_id)

    def reading(self, document_id: str) -> DocumentRow:
        return self._move_document(document_id, {"state": "READING"}, "#state = :was", {"was": "PLANNED"}) or self.document(document_id)

    def complete(self, document_id: str, outcomes: Sequence[Outcome]) -> DocumentRow:
        def attempt() -> DocumentRow:
            rows = ((self.pages_row(document_id, o.first, o.last), o) for o in outcomes)
            moves = [(row, o) for row, o in rows if row is not None and advances(row, o)]
            if moves:
                actions = [self._settle_action(document_id, row, outcome) for row, outcome in moves]
                self._client.transact_write_items(TransactItems=[*actions, self._tally_action(document_id, moves)])
            return self.document(document_id)

        return self._until_it_lands(attempt)

    def _settle_action(self, document_id: str, row: PagesRow, outcome: Outcome) -> Any:
        change = msgspec.structs.asdict(settle(row, outcome))
        fields = {k: change[k] for k in ("state", "reason", "engine", "result_key", "confidence", "seconds")}
        return {
            "Update": self._update(
                pages_key(document_id, row.first, row.last),
                fields,
                "#state = :was AND #generation = :held",
                {"was": row.state, "held": row.generation},
            )
        }

    def _tally_action(self, document_id: str, moves: Sequence[tuple[PagesRow, Outcome]]) -> Any:
        change = tally(moves)
        gains = {"waiting": change["WAITING"], "done": change["DONE"], "degraded": change["DEGRADED"], "quarantined": change["QUARANTINED"]}
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": document_key(document_id),
            "UpdateExpression": "ADD " + ", ".join(f"#{name} :{name}" for name in gains),
        }
        values: dict[str, Any] = dict(gains)
        if any(improves(row) for row, _ in moves):
            # An assembly may be at work on the old rows: unless one is still to begin, ask for a new revision with the same breath.
            document = self.document(document_id)
            values["revision"], values["started"] = document.revision, document.started
            update["ConditionExpression"] = "#revision = :revision AND #started = :started"
            if document.revision == document.started:
                values["next"] = document.revision + 1
                update["UpdateExpression"] += " SET #revision = :next"
        update["ExpressionAttributeNames"] = names(update)
        update["ExpressionAttributeValues"] = to_values(values)
        return {"Update": update}

    def count_failure(self, document_id: str, first: int, last: int, generation: int, failure: str) -> int:
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=pages_key(document_id, first, last),
                UpdateExpression="SET #failure = :failure ADD #attempts :one",
                ConditionExpression="#state = :waiting AND #generation = :held",
                ExpressionAttributeNames={f"#{name}": name for name in ("failure", "attempts", "state", "generation")},
                ExpressionAttributeValues=to_values({"failure": failure, "one": 1, "waiting": "WAITING", "held": generation}),
                ReturnValues="ALL_NEW",
            )
        except ClientError as error:
            if _code(error) == _CONDITION_FAILED:
                return 0
            raise
        return from_item(answer["Attributes"], PagesRow).attempts

    def unpack(self, document_id: str, first: int, last: int) -> Sequence[PagesRow]:
        def attempt() -> None:
            row = self.pages_row(document_id, first, last)
            if row is None or row.state != "WAITING":
                return
            # The packed row stays as a mark: were it deleted, a late replay of the plan would create it again.
            mark = self._update(
                pages_key(document_id, first, last),
                {"unpacked": True},
                "#state = :was AND attribute_not_exists(#unpacked)",
                {"was": "WAITING"},
            )
            puts = [
                {
                    "Put": {
                        "TableName": self._table,
                        "Item": {**pages_key(document_id, r.first, r.last), **to_item(r)},
                        "ConditionExpression": "attribute_not_exists(pk)",
                    }
                }
                for r in single_rows(row)
            ]
            self._client.transact_write_items(TransactItems=[{"Update": mark}, *puts])  # type: ignore[list-item]

        self._until_it_lands(attempt)
        return [row for row in self.pages(document_id) if row.first == row.last and first <= row.first <= last]

    def note_failure(self, document_id: str, failure: str) -> None:
        self._move_document(document_id, {"failure": failure}, "attribute_exists(#pk)", {})

    def reject(self, document_id: str, code: str, reason: str) -> DocumentRow:
        change = {"state": "REJECTED", "code": code, "reason": reason, "completed_at": self._now()}
        condition = "NOT #state IN (:done, :partial, :rejected)"
        ends = {"done": "DONE", "partial": "PARTIAL", "rejected": "REJECTED"}
        return self._move_document(document_id, change, condition, ends) or self.document(document_id)

    def begin_assembly(self, document_id: str, revision: int) -> DocumentRow | None:
        document = self.document(document_id)
        state: DocumentState = document.state if document.state in DELIVERED else "ASSEMBLING"
        return self._move_document(
            document_id,
            {"state": state, "started": max(document.started, revision)},
            "#state = :was AND #started = :held AND #waiting = :none AND #current < :revision AND NOT #state IN (:received, :rejected)",
            {
                "was": document.state,
                "held": document.started,
                "none": 0,
                "revision": revision,
                "received": "RECEIVED",
                "rejected": "REJECTED",
            },
        )

    def publish(self, document_id: str, revision: int, state: DocumentState) -> DocumentRow | None:
        change = {"current": revision, "state": state, "completed_at": self._now()}
        return self._move_document(document_id, change, "#current < :revision", {"revision": revision})

    def record_dead_letter(self, letter: DeadLetter) -> None:
        self._put_new(key(_DEAD_LETTERS, letter.message_id), letter)

    def dead_letters(self) -> Iterator[DeadLetter]:
        return (from_item(item, DeadLetter) for item in self._query(_DEAD_LETTERS, ""))

    # --- the few shapes of request that the moves above are made of ---

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _get(self, key: Any, kind: type[T]) -> T | None:
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return None if item is None else from_item(item, kind)

    def _query(self, partition: str, prefix: str) -> Iterator[Any]:
        condition, values = "pk = :pk", {"pk": partition}
        if prefix:
            condition, values = f"{condition} AND begins_with(sk, :sk)", {**values, "sk": prefix}
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table, KeyConditionExpression=condition, ExpressionAttributeValues=to_values(values), ConsistentRead=True
        )
        return (item for page in pages for item in page["Items"])

    def _put_new(self, key: Any, row: msgspec.Struct) -> bool:
        try:
            self._client.put_item(TableName=self._table, Item={**key, **to_item(row)}, ConditionExpression="attribute_not_exists(pk)")
        except ClientError as error:
            if _code(error) == _CONDITION_FAILED:
                return False
            raise
        return True

    def _update(self, key: Any, change: dict[str, Any], condition: str, values: dict[str, Any]) -> Any:
        update = {
            "TableName": self._table,
            "Key": key,
            "UpdateExpression": "SET " + ", ".join(f"#{name} = :new_{name}" for name in change),
            "ConditionExpression": condition,
        }
        return update | {
            "ExpressionAttributeNames": names(update),
            "ExpressionAttributeValues": to_values({**{f"new_{k}": v for k, v in change.items()}, **values}),
        }

    def _move_document(self, document_id: str, change: dict[str, Any], condition: str, values: dict[str, Any]) -> DocumentRow | None:
        request = self._update(document_key(document_id), change, condition, values)
        try:
            answer = self._client.update_item(**request, ReturnValues="ALL_NEW")
        except ClientError as error:
            if _code(error) == _CONDITION_FAILED:
                return None
            raise
        return from_item(answer["Attributes"], DocumentRow)

    def _until_it_lands(self, attempt: Callable[[], T]) -> T:
        """Run again, with jitter, what lost a race; every run reads afresh. Raises `Conflict` when it never lands."""
        for n in range(_ATTEMPTS):
            try:
                return attempt()
            except ClientError as error:
                if _code(error) not in {"TransactionCanceledException", "TransactionConflictException", "TransactionInProgressException"}:
                    raise
                reasons = {reason.get("Code", "") for reason in error.response.get("CancellationReasons", [])}
                if not reasons <= {"", "None", "ConditionalCheckFailed", "TransactionConflict"}:
                    raise
                self._clock.sleep(random.uniform(0, min(1.0, 0.01 * 2**n)))  # noqa: S311  (jitter, not a secret)
        raise Conflict(f"a ledger write lost its race {_ATTEMPTS} times")


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])
