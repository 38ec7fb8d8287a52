"""A bucket in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from escriba.errors import NotFound
from escriba.memory.clock import SystemClock
from escriba.ports import Clock, StoredVersion


class MemoryObjectStore:
    """Implements `ports.ObjectStore`; with `versioned`, every put makes a version of its own."""

    def __init__(self, *, versioned: bool = False, bucket: str = "bucket", clock: Clock | None = None) -> None:
        self._versioned, self._bucket, self._clock = versioned, bucket, clock or SystemClock()
        self._objects: dict[str, dict[str, bytes]] = {}
        self._stored_at: dict[tuple[str, str], float] = {}
        self._count, self._lock = 0, threading.Lock()

    @property
    def bucket(self) -> str:
        return self._bucket

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> str:
        with self._lock:
            self._count += 1
            version = str(self._count) if self._versioned else ""
            self._objects.setdefault(key, {})[version] = data
            self._stored_at[key, version] = self._clock.now().timestamp()
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
            gone = version or next(reversed(versions), "")
            versions.pop(gone, None)
            self._stored_at.pop((key, gone), None)
            if not versions:
                self._objects.pop(key, None)

    def keys(self, prefix: str) -> Iterator[str]:
        with self._lock:
            return iter(sorted(key for key in self._objects if key.startswith(prefix)))

    def versions(self, prefix: str) -> Iterator[StoredVersion]:
        with self._lock:
            return iter(
                [
                    StoredVersion(key, version, len(data), self._stored_at[key, version])
                    for key, versions in sorted(self._objects.items())
                    if key.startswith(prefix)
                    for version, data in versions.items()
                ]
            )
