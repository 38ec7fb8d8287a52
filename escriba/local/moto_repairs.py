"""Makes moto keep two promises that DynamoDB and SQS keep and the pipeline is built on: requests are atomic, and they are cheap.

moto 5.2 serves threads without a lock (a transaction's ADD can lose another's), copies the whole table for each action of a transaction,
and looks for all ten types in each attribute it returns, which is half of what a request costs.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from moto.core.botocore_stubber import BotocoreStubber
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb import models
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table


@contextmanager
def repaired_moto() -> Iterator[None]:
    """Repair moto while the context lasts; nests."""
    serve, transact, copier = BotocoreStubber.process_request, models.DynamoDBBackend.transact_write_items, models.copy
    serialize = BaseJSONSerializer._serialize_type_structure  # noqa: SLF001
    lock = threading.RLock()

    def serve_one_at_a_time(self: BotocoreStubber, request: Any) -> Any:
        with lock:
            return serve(self, request)

    def transact_or_roll_back(self: models.DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        before = [_snapshot(self, action) for action in transact_items]
        try:
            transact(self, transact_items)
        except Exception:
            for rows, sort_key, item in before:
                if item is None:
                    rows.pop(sort_key, None)
                else:
                    rows[sort_key] = item
            raise

    def copy_no_tables(value: Any) -> Any:
        return value if isinstance(value, Table) else copy.deepcopy(value)

    def serialize_as_it_is(self: BaseJSONSerializer, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if shape.name == "AttributeValue" and isinstance(value, dict) and value.keys() <= {"S", "N", "BOOL"}:
            serialized[key] = value
        else:
            serialize(self, serialized, value, shape, key)

    BotocoreStubber.process_request = serve_one_at_a_time  # type: ignore[method-assign]
    models.DynamoDBBackend.transact_write_items = transact_or_roll_back  # type: ignore[method-assign]
    models.copy = SimpleNamespace(deepcopy=copy_no_tables, copy=copy.copy)  # type: ignore[assignment]
    BaseJSONSerializer._serialize_type_structure = serialize_as_it_is  # type: ignore[method-assign]  # noqa: SLF001
    try:
        yield
    finally:
        BaseJSONSerializer._serialize_type_structure = serialize  # type: ignore[method-assign]  # noqa: SLF001
        BotocoreStubber.process_request = serve  # type: ignore[method-assign]
        models.DynamoDBBackend.transact_write_items = transact  # type: ignore[method-assign]
        models.copy = copier


def _snapshot(backend: models.DynamoDBBackend, action: dict[str, Any]) -> tuple[dict[Any, Any], DynamoType, Any]:
    """The rows that hold this action's item, its place among them, and a copy of it as it stands."""
    ((_, write),) = action.items()
    table = backend.get_table(write["TableName"])
    key = write.get("Key") or write["Item"]
    rows: Any = table.items[DynamoType(key[table.hash_key_attr])]
    sort_key = DynamoType(key[str(table.range_key_attr)])
    return rows, sort_key, copy.deepcopy(rows.get(sort_key))
