"""Remembers what a local run was given, so that what it never came to, and results that are not in their folder, are missed after a kill."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from escriba.cli import outcome
from escriba.errors import NotFound
from escriba.ledger import FORGOTTEN, DocumentRow
from escriba.local.pipeline import STATE_DIRECTORY
from escriba.moves import has_ended
from escriba.ports import Ports

_LOCK = "lock"
_REMEMBERED = 20  # earlier jobs of a file


class Given(msgspec.Struct, frozen=True):
    """One file; `job_id` is empty until it has been put into the inbox, `before` are the jobs that it was in earlier runs."""

    path: str
    job_id: str = ""
    before: tuple[str, ...] = ()


class Book(msgspec.Struct, frozen=True):
    """Every file that runs into one folder were given, by its path as it was last given, and the last command (a shell's line)."""

    command: str = ""
    files: tuple[Given, ...] = ()


@dataclass
class Shortfall:
    """Files that were given and never taken in, and finished documents whose results are not in their folder, each with its file's name."""

    command: str = ""
    given: int = 0
    not_taken: list[str] = field(default_factory=list)
    missing: list[tuple[str, DocumentRow]] = field(default_factory=list)
    superseded: set[str] = field(default_factory=set)
    """Documents of a file that has since been given again with other bytes or under another policy, and is another document now."""


def remember(out: Path, files: Sequence[Path], command: str) -> None:
    """Note files before anything is done with them. Raises OSError."""
    _note(out, {_named(path): "" for path in files}, command or _book(out).command)


def note_jobs(out: Path, jobs: Sequence[tuple[Path, str]]) -> None:
    """Note which job each file has become. Raises OSError."""
    _note(out, {_named(path): job for path, job in jobs}, _book(out).command)


def _named(path: Path) -> str:
    # A name need not be text on a disk; in JSON it must.
    return os.fsencode(path.absolute()).decode("utf-8", "backslashreplace")


def _note(out: Path, jobs: Mapping[str, str], command: str) -> None:
    known = {one.path: one for one in _book(out).files}
    for name, job in jobs.items():
        old = known.get(name, Given(name))
        known[name] = Given(name, job, (*old.before, old.job_id)[-_REMEMBERED:] if old.job_id else old.before)
    path = _path(out)
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(Book(command, tuple(known.values()))))
    partial.replace(path)


def _book(out: Path) -> Book:
    try:
        return msgspec.json.decode(_path(out).read_bytes(), type=Book)
    except (OSError, msgspec.MsgspecError):
        return Book()  # of a version before this one


def _path(out: Path) -> Path:
    return out / STATE_DIRECTORY / "given.json"


def shortfall(out: Path, ports: Ports) -> Shortfall:
    """Compare what the folder's runs were given with what the ledger knows and what lies in the folder."""
    book = _book(out)
    found = Shortfall(book.command, len(book.files))
    taken: set[Path] = set()
    current: set[str] = set()
    earlier: set[str] = set()
    seen: set[tuple[str, str]] = set()
    for one in book.files:
        name = Path(one.path).name
        job = ports.ledger.job(one.job_id) if one.job_id else None
        if job is None or job.code == FORGOTTEN:
            found.not_taken.append(one.path)
            continue
        document = _document(job.document_id, ports)
        if document is None:
            continue
        current.add(document.document_id)
        earlier.update(one.before)
        if document.current and has_ended(document) and (Path(name).stem, document.document_id) not in seen:
            seen.add((Path(name).stem, document.document_id))
            if not outcome.is_delivered(out, name, document, ports.results, taken):
                found.missing.append((name, document))
    jobs = (ports.ledger.job(identity) for identity in earlier)
    found.superseded = {job.document_id for job in jobs if job is not None and job.document_id} - current
    return found


def _document(document_id: str, ports: Ports) -> DocumentRow | None:
    try:
        return ports.ledger.document(document_id) if document_id else None
    except NotFound:
        return None


def export(out: Path, found: Shortfall, ports: Ports) -> list[Path]:
    """Write the missing results; returns their folders. Raises OSError."""
    taken: set[Path] = set()
    return [outcome.deliver_to(out, name, document, ports.results, taken) for name, document in found.missing]


def at_work(out: Path) -> bool:
    """Whether a command is working in the folder at this moment."""
    try:
        with (out / STATE_DIRECTORY / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
