"""What `escriba eval guards` does: reads pages by CPU OCR, judges adversarial and true answers for them, prints what was refused."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import cv2
import msgspec
import numpy as np
import typer
from rich.console import Console

from escriba.cli.outcome import Result
from escriba.cli.reading import read_files
from escriba.cli.tables import percent, print_rows
from escriba.document import Document, Page
from escriba.errors import ConfigurationError, EscribaError
from escriba.evaluation.adversaries import Subject, truth_pieces
from escriba.evaluation.guarding import (
    HALVES,
    OVERALL,
    TARGETS,
    Blank,
    Count,
    HalfCounts,
    Judged,
    blank_pictures,
    judged,
    missed,
    summarise,
)
from escriba.evaluation.scores import document_name
from escriba.evaluation.split import Half
from escriba.evaluation.truths import Truth, choose, find_truths
from escriba.isolation import IsolatedReader
from escriba.layout.ink import ink_share
from escriba.policy import Policy, load_policy
from escriba.ports import Reader

_MISSED = 1
_PAGE_SECONDS = 300.0
_WHOLE = 100_000  # pixels: pictures are looked at as large as they are
_ROWS = "guards.json"


def guards(data: Path, out: Path, cache: Path | None, policy_file: Path | None, *, kind: str, limit: int, workers: int, json: bool) -> None:
    """Judge, print, and end with status 1 where the reporting half misses a target. Raises `ConfigurationError`."""
    truths = choose([truth for truth in find_truths(data) if truth.picture], kind=kind, limit=limit)
    policy = _patient(load_policy(policy_file) if policy_file is not None else Policy())
    readings = cache if cache is not None else out / "readings"
    blanks = _blank_files(out / "blank")
    results = read_files([*(truth.document for truth in truths), *blanks], policy, readings, workers=workers, quiet=json)
    with closing(IsolatedReader()) as reader:
        found = [_subject(truth, result, policy, reader) for truth, result in zip(truths, results, strict=False)]
        empty = [_blank(result, policy, reader) for result in results[len(truths) :]]
    subjects = [subject for subject in found if subject is not None]
    rows = list(judged(subjects, empty, policy))
    summary = summarise(subjects, rows)
    short = missed(summary)
    _keep(out / _ROWS, rows)
    if json:
        report = {"data": str(data), "halves": summary, "targets": TARGETS, "missed": short}
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        _print(summary, len(found) - len(subjects), short, out / _ROWS)
    if short:
        raise typer.Exit(_MISSED)


def _patient(policy: Policy) -> Policy:
    """The policy with time enough for every page: how fast the machine is today must not change what is measured."""
    return policy.model_copy(
        update={"limits": policy.limits.model_copy(update={"page_seconds": max(policy.limits.page_seconds, _PAGE_SECONDS)})}
    )


def _blank_files(folder: Path) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in blank_pictures().items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder} ({error.strerror}); choose another folder with --out") from None
    return sorted(folder.glob("*.png"))


def _subject(truth: Truth, result: Result, policy: Policy, reader: Reader) -> Subject | None:
    """A page with a truth that was read; None where nothing was delivered, or the file has more pages than its truth can tell apart."""
    tables = truth.tables()
    pieces = truth_pieces(truth.text(), tables[0] if tables is not None else [])
    pages = _pages(result)
    if len(pages) != 1 or pages[0].state == "QUARANTINED" or not pieces:
        return None
    return Subject(
        name=truth.name,
        document=document_name(truth.name),
        half=truth.half,
        truth=pieces,
        cpu=pages[0].blocks,
        ink=_ink(truth.document, policy, reader),
    )


def _blank(result: Result, policy: Policy, reader: Reader) -> Blank:
    pages = _pages(result)
    return Blank(pages[0].blocks if pages else (), _ink(result.path, policy, reader))


def _pages(result: Result) -> Sequence[Page]:
    if result.output is None:
        return ()
    return msgspec.json.decode((result.output / "document.json").read_bytes(), type=Document).pages


def _ink(path: Path, policy: Policy, reader: Reader) -> float:
    try:
        jpeg = np.frombuffer(reader.picture(path, policy, 1, _WHOLE), np.uint8)
    except EscribaError as error:
        raise ConfigurationError(f"{path} was read before and cannot be opened now: {error}") from None
    picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    return ink_share(cv2.cvtColor(np.asarray(picture), cv2.COLOR_BGR2RGB))


def _keep(path: Path, rows: Sequence[Judged]) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")


def _print(summary: dict[Half, HalfCounts], unread: int, short: Sequence[str], rows: Path) -> None:
    counts = {half: {count.kind: count for count in summary[half].counts} for half in HALVES if half in summary}
    kinds = list(dict.fromkeys(kind for half in counts.values() for kind in half))
    table = [(kind, *(_cell(counts.get(half, {}).get(kind)) for half in HALVES)) for kind in kinds]
    totals = [row for row in table if row[0] in TARGETS]
    print_rows("Answers refused, %", ["answers", *HALVES], [row for row in table if row not in totals], totals)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for half, found in summary.items():
        console.print(
            f"{half}: {found.pages} pages, on {found.ungrounded} of which CPU OCR was sure of nothing (UNGROUNDED); "
            f"it was sure of {found.sure_numbers} of their numbers, and only these are changed."
        )
    refusals = next((count for half in ("reporting", "tuning") if half in counts for count in (counts[half].get(OVERALL),)), None)
    if refusals is not None:
        console.print(f"Refused by: {', '.join(f'{name} {number}' for name, number in refusals.guards.items())}.")
    console.print("In brackets 95 % bootstrap intervals over documents, then answers refused of those judged.")
    if unread:
        console.print(f"{unread} documents were not read, or have several pages; they are left out.")
    console.print(f"Verdicts:  {rows}")
    for sentence in short:
        console.print(f"Missed: {sentence}.")


def _cell(count: Count | None) -> str:
    return "" if count is None else f"{percent(count.share)}  {count.refused}/{count.answers}"
