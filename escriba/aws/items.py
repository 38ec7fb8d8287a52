"""Rows as DynamoDB items and back, their keys and aliases; numbers travel as text, so floats need no Decimal."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
UNDER_WAY, FAILED = "UNDER-WAY", "FAILED"
"""What `topology.WATCH` says of a document; it is absent once nobody has to look."""


def to_value(value: Any) -> dict[str, Any]:
    """One attribute value; only what rows hold: text, numbers, truth values, None."""
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int | float):
        return {"N": repr(value)}
    return {"S": value}


def to_values(values: dict[str, Any]) -> dict[str, Any]:
    """`ExpressionAttributeValues` with the colons put before the names."""
    return {f":{name}": to_value(value) for name, value in values.items()}


def to_item(row: msgspec.Struct | dict[str, Any]) -> dict[str, Any]:
    """A row as an item."""
    fields = row if isinstance(row, dict) else msgspec.structs.asdict(row)
    return {name: to_value(value) for name, value in fields.items()}


def from_item(item: Any, kind: type[T]) -> T:
    """An item as a row of this kind; keys and fields of newer versions are ignored."""
    return msgspec.convert({name: _from_value(value) for name, value in item.items()}, kind)


def _from_value(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "N":
        return float(content) if any(c in content for c in ".eE") else int(content)
    return None if kind == "NULL" else content


def names(update: dict[str, Any]) -> dict[str, str]:
    """Every attribute goes by an alias, so that none can collide with DynamoDB's reserved words."""
    expressions = f"{update['UpdateExpression']} {update.get('ConditionExpression', '')}"
    return {alias: alias[1:] for alias in re.findall(r"#\w+", expressions)}


def key(pk: str, sk: str) -> Any:
    """A primary key of the ledger."""
    return to_item({"pk": pk, "sk": sk})


def job_key(job_id: str) -> Any:
    """Where an upload stands."""
    return key(f"JOB#{job_id}", "JOB")


def document_key(document_id: str) -> Any:
    """Where a document stands."""
    return key(f"DOC#{document_id}", "DOC")


def pages_key(document_id: str, first: int, last: int) -> Any:
    """Where a packet of pages stands, so that a query gives them in page order."""
    return key(f"DOC#{document_id}", f"PAGES#{first:06d}-{last:06d}")
