"""Which files a command means by its paths."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from escriba.errors import ConfigurationError
from escriba.sources.opening import HEAD, READS, media_type

_NAMES = {".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".jp2", ".heic", ".avif"}


@dataclass(frozen=True)
class Chosen:
    """Files to read, in the order given, and what to tell the user about those left out."""

    files: list[Path]
    notes: list[str]


def choose(paths: list[Path]) -> Chosen:
    """Files as named; from folders, whatever is a document by content or claims to be one by name.

    Raises `ConfigurationError` when a path does not exist or nothing is left.
    """
    files: list[Path] = []
    skipped = 0
    for path in paths:
        if path.is_dir():
            inside = list(_inside(path))
            documents = [file for file in inside if _is_document(file)]
            files += documents
            skipped += len(inside) - len(documents)
        elif path.is_file():
            files.append(path)
        else:
            raise ConfigurationError(f"there is no file or folder {path}")
    files = list(dict.fromkeys(files))
    for file in files:
        if not os.access(file, os.R_OK):
            raise ConfigurationError(f"there is no permission to read {file}; grant it or leave the file out")
    if not files:
        raise ConfigurationError(f"no documents in {', '.join(map(str, paths))}; Escriba reads {READS}")
    return Chosen(files, [f"{skipped} files in the folders are no documents and were left out."] if skipped else [])


def _inside(folder: Path) -> Iterator[Path]:
    return (
        path for path in sorted(folder.rglob("*")) if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )


def _is_document(path: Path) -> bool:
    if path.suffix.lower() in _NAMES:
        return True
    try:
        with path.open("rb") as file:
            return bool(media_type(file.read(HEAD)))
    except OSError:
        return False
