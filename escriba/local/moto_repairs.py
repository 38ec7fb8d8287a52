"""Makes moto keep two promises that DynamoDB and SQS keep and the pipeline is built on: requests are atomic, and they are cheap.

moto 5.2 serves threads without a lock (a transaction's ADD can lose another's), copies the whole table for each action of a transaction,
looks for all ten types in each attribute it returns, and works out the same addresses and names anew for every request; botocore signs each
request and describes this machine in it, which nobody in this process reads. Together that is two thirds of what a request costs.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import moto.core.responses
import moto.sqs.models
from botocore.signers import RequestSigner
from botocore.useragent import UserAgentString
from moto.core.base_backend import BaseBackend
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb import models
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table


@contextmanager
def repaired_moto() -> Iterator[None]:
    """Repair moto while the context lasts; nests."""
    with ExitStack() as repairs:
        for owner, name, mended in (*_atomic(), *_cheap()):
            repairs.enter_context(patch.object(owner, name, mended))
        yield


def _atomic() -> Iterator[tuple[Any, str, Any]]:
    """One request at a time, and a transaction that is refused changes nothing."""
    serve, transact = BotocoreStubber.process_request, models.DynamoDBBackend.transact_write_items
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

    yield BotocoreStubber, "process_request", serve_one_at_a_time
    yield models.DynamoDBBackend, "transact_write_items", transact_or_roll_back


def _cheap() -> Iterator[tuple[Any, str, Any]]:
    """What gives the same answer for every request is worked out once, and what nobody reads is not made."""
    serialize, urls = BaseJSONSerializer._serialize_type_structure, BaseBackend.urls.fget  # noqa: SLF001
    sign = RequestSigner.sign
    known: dict[type[BaseBackend], Any] = {}

    def copy_no_tables(value: Any) -> Any:
        return value if isinstance(value, Table) else copy.deepcopy(value)

    def serialize_as_it_is(self: BaseJSONSerializer, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if shape.name == "AttributeValue" and isinstance(value, dict) and value.keys() <= {"S", "N", "BOOL"}:
            serialized[key] = value
        else:
            serialize(self, serialized, value, shape, key)

    def urls_of_its_kind(self: BaseBackend) -> Any:
        kind = type(self)
        if kind not in known:
            known[kind] = urls(self)
        return known[kind]

    def say_who(self: RequestSigner, operation_name: str, request: Any, *rest: Any, **more: Any) -> None:
        """The part of a signature that moto reads. In S3's it also reads how the body is packed."""
        if self.signing_name == "s3":
            sign(self, operation_name, request, *rest, **more)
        else:
            scope = f"{self.region_name}/{self.signing_name}"
            request.headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential=EMBEDDED/20260101/{scope}/aws4_request"

    yield models, "copy", SimpleNamespace(deepcopy=copy_no_tables, copy=copy.copy)
    yield BaseJSONSerializer, "_serialize_type_structure", serialize_as_it_is
    yield BaseBackend, "urls", property(urls_of_its_kind)
    yield moto.core.responses, "method_names_from_class", cache(moto.core.responses.method_names_from_class)
    underscored = cache(moto.core.responses.camelcase_to_underscores)
    for module in (moto.core.responses, moto.sqs.models):
        yield module, "camelcase_to_underscores", underscored
    yield RequestSigner, "sign", say_who
    yield UserAgentString, "to_string", lambda _: "escriba"


def _snapshot(backend: models.DynamoDBBackend, action: dict[str, Any]) -> tuple[dict[Any, Any], DynamoType, Any]:
    """The rows that hold this action's item, its place among them, and a copy of it as it stands."""
    ((_, write),) = action.items()
    table = backend.get_table(write["TableName"])
    key = write.get("Key") or write["Item"]
    rows: Any = table.items[DynamoType(key[table.hash_key_attr])]
    sort_key = DynamoType(key[str(table.range_key_attr)])
    return rows, sort_key, copy.deepcopy(rows.get(sort_key))
