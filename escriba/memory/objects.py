"""A bucket in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from escriba.errors import NotFound


class MemoryObjectStore:
    """Implements `ports.ObjectStore`; with `versioned`, every put makes a version of its own."""

    def __init__(self, *, versioned: bool = False) -> None:
        self._versioned = versioned
        self._objects: dict[str, dict[str, bytes]] = {}
        self._count, self._lock = 0, threading.Lock()

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> str:
        with self._lock:
            self._count += 1
            version = str(self._count) if self._versioned else ""
            self._objects.setdefault(key, {})[version] = data
            return version

    def get(self, key: str, *, version: str = "") -> bytes:
        with self._lock:
            versions = self._objects.get(key, {})
            wanted = version or next(reversed(versions), "")
            if wanted not in versions:
                raise NotFound(f"there is no object {key}")
            return versions[wanted]

    def size(self, key: str, *, version: str = "") -> int:
        return len(self.get(key, version=version))

    def upload(self, path: Path, key: str, *, content_type: str = "application/octet-stream") -> str:
        return self.put(key, path.read_bytes(), content_type=content_type)

    def download(self, key: str, path: Path, *, version: str = "") -> None:
        path.write_bytes(self.get(key, version=version))

    def delete(self, key: str, *, version: str = "") -> None:
        with self._lock:
            versions = self._objects.get(key, {})
            versions.pop(version or next(reversed(versions), ""), None)
            if not versions:
                self._objects.pop(key, None)

    def keys(self, prefix: str) -> Iterator[str]:
        with self._lock:
            return iter(sorted(key for key in self._objects if key.startswith(prefix)))
