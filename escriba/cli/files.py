"""Which files a command means by its paths."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from escriba.errors import ConfigurationError
from escriba.sources.opening import HEAD, READS, media_type

_NAMED = 5  # files named in a note; more are counted
_SUFFIXES = {".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".jp2", ".heic", ".avif"}


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
    skipped: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = list(_inside(path))
            documents = [file for file in inside if _is_document(file)]
            files += documents
            skipped += [file for file in inside if file not in set(documents)]
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
    return Chosen(files, [f"Left out, for they are no documents: {_named(skipped)}."] if skipped else [])


def _named(paths: list[Path]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(path.name for path in paths[:_NAMED]) + more


def _inside(folder: Path) -> Iterator[Path]:
    """Every file below a folder but hidden ones. Raises `ConfigurationError` where a folder or link cannot be followed."""

    def refuse(error: OSError) -> None:
        raise ConfigurationError(f"there is no permission to look into {error.filename}; grant it, or name the files one by one")

    for directory, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(directory, name)
            if name.startswith("."):
                continue
            if path.is_symlink() and not path.exists():
                raise ConfigurationError(f"the link {path} leads nowhere; mend it or take it out of the folder")
            if path.is_file():
                yield path


def _is_document(path: Path) -> bool:
    if path.suffix.lower() in _SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return bool(media_type(file.read(HEAD)))
    except OSError:
        return False
