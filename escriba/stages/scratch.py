"""Brings objects to a worker's own disk for the reader; the last one stays, for packets of one document come in a row."""

from __future__ import annotations

import hashlib
from pathlib import Path

from escriba.ports import ObjectStore, Ports


def fetch(key: str, ports: Ports) -> Path:
    """The object `key` of the results bucket as a local file. Raises `NotFound`."""
    return _bring(ports.results, key, "", ports.scratch)


def fetch_upload(key: str, version: str, ports: Ports) -> Path:
    """One version of an uploaded object as a local file. Raises `NotFound`."""
    return _bring(ports.inbox, key, version, ports.scratch)


def _bring(store: ObjectStore, key: str, version: str, directory: Path) -> Path:
    path = directory / hashlib.sha256(f"{key}\0{version}".encode()).hexdigest()
    if path.exists():
        return path
    for other in directory.iterdir():
        other.unlink()
    # A download that breaks off must not be taken for the file.
    partial = path.with_suffix(".partial")
    store.download(key, partial, version=version)
    return partial.rename(path)
