"""The few shapes of request that the ledger's moves are made of, on one DynamoDB table."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from botocore.exceptions import ClientError

from escriba.aws.failures import aws_failures
from escriba.aws.items import from_item, names, to_item, to_values
from escriba.errors import Conflict
from escriba.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")
ATTEMPTS = 60
_CONDITION_FAILED = "ConditionalCheckFailedException"
_LOST_RACE = {"TransactionCanceledException", "TransactionConflictException", "TransactionInProgressException"}
_LOST_FOR = {"", "None", "ConditionalCheckFailed", "TransactionConflict"}


class Table:
    """Consistent reads and conditional writes; throttling comes out as `Throttled`."""

    def __init__(self, client: DynamoDBClient, name: str, clock: Clock) -> None:
        self.client, self.name, self._clock = client, name, clock

    def item(self, key: Any) -> Any:
        """One item, None when it is not there."""
        with aws_failures("reading the ledger"):
            return self.client.get_item(TableName=self.name, Key=key, ConsistentRead=True).get("Item")

    def get(self, key: Any, kind: type[T]) -> T | None:
        """One item as a row."""
        item = self.item(key)
        return None if item is None else from_item(item, kind)

    def query(self, partition: str, prefix: str) -> Iterator[Any]:
        """The items of a partition whose sort key begins with `prefix`."""
        condition, values = "pk = :pk", {"pk": partition}
        if prefix:
            condition, values = f"{condition} AND begins_with(sk, :sk)", {**values, "sk": prefix}
        pages = self.client.get_paginator("query").paginate(
            TableName=self.name, KeyConditionExpression=condition, ExpressionAttributeValues=to_values(values), ConsistentRead=True
        )
        with aws_failures("reading the ledger"):
            for page in pages:
                yield from page["Items"]

    def index(self, name: str, value: str) -> Iterator[Any]:
        """The items of an index, named as its attribute, under one value and in the order of its sort key; a moment old."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.name,
            IndexName=name,
            KeyConditionExpression=f"#{name} = :value",
            ExpressionAttributeNames={f"#{name}": name},
            ExpressionAttributeValues=to_values({"value": value}),
        )
        with aws_failures("reading the ledger"):
            for page in pages:
                yield from page["Items"]

    def scan(self, sort_key: str) -> Iterator[Any]:
        """Every item with this sort key."""
        pages = self.client.get_paginator("scan").paginate(
            TableName=self.name, FilterExpression="sk = :sk", ExpressionAttributeValues=to_values({"sk": sort_key}), ConsistentRead=True
        )
        with aws_failures("reading the ledger"):
            for page in pages:
                yield from page["Items"]

    def put_new(
        self, key: Any, row: msgspec.Struct, *, unless: str = "attribute_not_exists(pk)", none: str = "", more: dict[str, str] | None = None
    ) -> bool:
        """Write a row, with `more` attributes, unless one is there; False when one is. `:none` in the condition stands for `none`."""
        item = {**key, **to_item(row), **to_item(more or {})}
        request: Any = {"TableName": self.name, "Item": item, "ConditionExpression": unless}
        if ":none" in unless:
            request["ExpressionAttributeValues"] = to_values({"none": none})
        return self._unless_refused(lambda: self.client.put_item(**request)) is not None

    def update(self, key: Any, change: dict[str, Any], condition: str, values: dict[str, Any]) -> Any:
        """The request that sets `change` under a condition; names stand as #name, the condition's values as :name."""
        update = {
            "TableName": self.name,
            "Key": key,
            "UpdateExpression": "SET " + ", ".join(f"#{name} = :new_{name}" for name in change),
            "ConditionExpression": condition,
        }
        return update | {
            "ExpressionAttributeNames": names(update),
            "ExpressionAttributeValues": to_values({**{f"new_{k}": v for k, v in change.items()}, **values}),
        }

    def apply(self, request: Any) -> Any:
        """Send an update; the item as it is then, None when the condition does not hold."""
        answer: Any = self._unless_refused(lambda: self.client.update_item(**request, ReturnValues="ALL_NEW"))
        return None if answer is None else answer["Attributes"]

    def remove(self, key: Any) -> None:
        """Delete an item, whether it is there or not."""
        with aws_failures("writing the ledger"):
            self.client.delete_item(TableName=self.name, Key=key)

    @staticmethod
    def _unless_refused(send: Callable[[], T]) -> T | None:
        try:
            with aws_failures("writing the ledger"):
                return send()
        except ClientError as error:
            if _code(error) == _CONDITION_FAILED:
                return None
            raise

    def until_it_lands(self, attempt: Callable[[], T]) -> T:
        """Run again, with jitter, what lost a race; every run reads afresh. Raises `Conflict` when it never lands."""
        for n in range(ATTEMPTS):
            with aws_failures("writing the ledger"):
                try:
                    return attempt()
                except ClientError as error:
                    reasons = {reason.get("Code", "") for reason in error.response.get("CancellationReasons", [])}
                    if _code(error) not in _LOST_RACE or not reasons <= _LOST_FOR:
                        raise
                    self._clock.sleep(random.uniform(0, min(1.0, 0.01 * 2**n)))  # noqa: S311  (jitter, not a secret)
        raise lost()


def lost() -> Conflict:
    """What is raised when a write lost every one of its races."""
    return Conflict(f"a ledger write lost its race {ATTEMPTS} times")


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])
