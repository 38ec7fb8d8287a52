"""Readers of pages, one file an engine, found by the entry point group `escriba.engines`; listing them imports none of their libraries."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from escriba.errors import EngineMissing
from escriba.ports import Engine

GROUP = "escriba.engines"


@cache
def _found() -> dict[str, EntryPoint]:
    # Looking through every installed package takes longer than reading a page.
    return {point.name: point for point in entry_points(group=GROUP)}


def installed(extra: dict[str, str] | None = None) -> dict[str, EntryPoint]:
    """Every engine by name; `extra` adds or replaces some as `{name: "module:Class"}`."""
    return _found() | {name: EntryPoint(name, target, GROUP) for name, target in (extra or {}).items()}


def load(name: str, extra: dict[str, str] | None = None) -> Engine:
    """One engine, made but without its models loaded. Raises `EngineMissing` for a name that is not installed."""
    engines = installed(extra)
    if name not in engines:
        raise EngineMissing(f"there is no engine named {name!r}; installed are {', '.join(sorted(engines))}")
    return cast("Engine", engines[name].load()())
