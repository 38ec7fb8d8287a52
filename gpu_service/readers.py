"""Renders pages in several processes at once, so that the next pages are ready before the vision server asks for them."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from typing import Any, cast

from escriba.ports import Reader


class _Shared:
    """Each call borrows whichever reader is free."""

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._readers = readers
        self._free: queue.SimpleQueue[Reader] = queue.SimpleQueue()
        for reader in readers:
            self._free.put(reader)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def borrowed(*args: Any, **named: Any) -> Any:
            reader = self._free.get()
            try:
                return getattr(reader, name)(*args, **named)
            finally:
                self._free.put(reader)

        return borrowed

    def close(self) -> None:
        for reader in self._readers:
            reader.close()


def shared(readers: Sequence[Reader]) -> Reader:
    """One reader for any number of threads, out of several that each serve one caller at a time."""
    return cast("Reader", _Shared(readers))
