"""Fetches each document once for all of the worker's threads: each has a folder of its own, and the pages of one document are read by many."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from escriba.ports import ObjectStore

_KEPT = 8  # documents; what a thread has linked stays with it, whatever is dropped here


@dataclass
class _Copy:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class SharedFiles:
    """A bucket whose downloads are links to one copy. Implements `ports.ObjectStore`; everything else is the store's. Objects must not change under their keys."""

    def __init__(self, store: ObjectStore, folder: Path, *, kept: int = _KEPT) -> None:
        """`folder` is on the file system that the downloads go to."""
        self._store, self._folder, self._most = store, folder, kept
        self._folder.mkdir(parents=True, exist_ok=True)
        self._copies: OrderedDict[str, _Copy] = OrderedDict()  # the longest unused first
        self._lock = threading.Lock()

    def download(self, key: str, path: Path, *, version: str = "") -> None:
        """Raises `NotFound`."""
        name = hashlib.sha256(f"{key}\0{version}".encode()).hexdigest()
        with self._alone_with(name) as copy:
            if not copy.exists():
                partial = copy.with_suffix(".partial")
                self._store.download(key, partial, version=version)
                partial.rename(copy)
            path.unlink(missing_ok=True)
            os.link(copy, path)

    @contextmanager
    def _alone_with(self, name: str) -> Iterator[Path]:
        with self._lock:
            copy = self._copies.setdefault(name, _Copy())
            self._copies.move_to_end(name)
            copy.users += 1
        try:
            with copy.lock:
                yield self._folder / name
        finally:
            with self._lock:
                copy.users -= 1
                unused = [other for other, its in self._copies.items() if not its.users]
                for other in unused[: max(0, len(self._copies) - self._most)]:
                    del self._copies[other]
                    (self._folder / other).unlink(missing_ok=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
