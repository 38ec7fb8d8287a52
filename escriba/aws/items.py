"""Rows as DynamoDB items and back: numbers travel as text, so floats need no Decimal."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


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
