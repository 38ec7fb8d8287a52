"""A document is fetched once, however many threads read its pages."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from escriba.errors import NotFound
from gpu_service.files import SharedFiles


class Slow:
    """A bucket that takes its time, counts, and never serves one object to two at once without noticing."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects, self.fetched = objects, Counter[str]()
        self._lock = threading.Lock()

    def download(self, key: str, path: Path, *, version: str = "") -> None:
        with self._lock:
            self.fetched[key] += 1
        if key not in self.objects:
            raise NotFound(key)
        path.write_bytes(self.objects[key][:1])
        time.sleep(0.002)
        path.write_bytes(self.objects[key])

    def get(self, key: str) -> bytes:
        return self.objects[key]


def test_threads_that_come_at_once_share_one_download(tmp_path: Path) -> None:
    """And none sees half of it; what else a bucket does is the bucket's."""
    bucket = Slow({"a": b"document"})
    files = SharedFiles(bucket, tmp_path / "shared")  # type: ignore[arg-type]

    def one(number: int) -> bytes:
        path = tmp_path / str(number)
        files.download("a", path)
        return path.read_bytes()

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(one, range(64))) == {b"document"}
    assert bucket.fetched == {"a": 1}
    assert files.get("a") == b"document"


def test_few_are_kept_and_what_was_given_out_stays(tmp_path: Path) -> None:
    """Disks are small: only the latest documents stay, however many threads ask for however many."""
    bucket = Slow({str(n): str(n).encode() * 9 for n in range(12)})
    files = SharedFiles(bucket, tmp_path / "shared", kept=3)  # type: ignore[arg-type]

    def one(number: int) -> bool:
        path = tmp_path / f"link-{number}"
        files.download(str(number % 12), path)
        return path.read_bytes() == bucket.objects[str(number % 12)]

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(240)))
    assert len(list((tmp_path / "shared").iterdir())) <= 3
    assert all((tmp_path / f"link-{n}").exists() for n in range(240))


def test_a_download_that_fails_is_tried_again(tmp_path: Path) -> None:
    """Nothing is kept of it, and nobody is locked out."""
    bucket = Slow({})
    files = SharedFiles(bucket, tmp_path / "shared")  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        files.download("a", tmp_path / "link")
    bucket.objects["a"] = b"there now"
    (tmp_path / "link").write_bytes(b"left over")
    files.download("a", tmp_path / "link")
    assert (tmp_path / "link").read_bytes() == b"there now"
