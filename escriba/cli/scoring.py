"""What `escriba eval run` does: reads or finds each reader's outputs, scores them, prints them side by side."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from escriba import engines
from escriba.cli.reading import read_files
from escriba.cli.tables import figure, print_rows
from escriba.errors import ConfigurationError
from escriba.evaluation.scores import Scores, score_document, score_folder, write_scores
from escriba.evaluation.split import Half
from escriba.evaluation.summary import SECTIONS, Group, Section, summarise
from escriba.evaluation.truths import Truth, choose, find_truths
from escriba.isolation import IsolatedReader
from escriba.policy import Ocr, Policy, load_policy


@dataclass(frozen=True)
class Reader:
    """What `--reader` names: a policy to read with, or a folder of outputs that exist."""

    name: str
    policy: Policy | None
    outputs: Path | None = None


def run(data: Path, names: Sequence[str], out: Path, *, half: Half | None, kind: str, limit: int, workers: int, json: bool) -> None:
    """Score every reader and print the result. Raises `ConfigurationError` and `EngineMissing`."""
    truths = choose(find_truths(data), half=half, kind=kind, limit=limit)
    for truth in truths:
        truth.facts()  # a wrong line is told before hours of reading
    readers = choose_readers(names)
    scored = []
    for reader in readers:
        scores = _score(reader, truths, data, out, workers=workers, quiet=json)
        try:
            write_scores(scores, out / reader.name)
        except OSError as error:
            raise ConfigurationError(f"cannot write to {out / reader.name} ({error.strerror}); choose another folder with --out") from None
        scored.append(scores)
    summaries = {scores.reader: summarise(scores.rows) for scores in scored}
    if json:
        report = {"data": str(data), "half": half or "all", "readers": msgspec.to_builtins(summaries)}
        sys.stdout.write(jsonlib.dumps(report, ensure_ascii=False) + "\n")
        return
    print_summaries(summaries)
    _say(scored, out)


def choose_readers(names: Sequence[str]) -> list[Reader]:
    """What the names mean: the default policy for none. Two of the same name get numbers. Raises `EngineMissing`, `ConfigurationError`."""
    readers: list[Reader] = []
    for name in names or [""]:
        reader = _reader(name)
        taken = {other.name for other in readers}
        free = next(label for n in range(1, len(names) + 2) if (label := reader.name if n == 1 else f"{reader.name}-{n}") not in taken)
        readers.append(Reader(free, reader.policy, reader.outputs))
    policies = [reader.policy for reader in readers if reader.policy is not None]
    if policies:
        with closing(IsolatedReader()) as process:
            for policy in policies:
                process.engine_versions(policy)  # a missing engine or language data would else reject every document
    return readers


def _reader(name: str) -> Reader:
    path = Path(name)
    if not name:
        return Reader("default", Policy())
    if path.suffix == ".toml":
        return Reader(path.stem, load_policy(path))
    if name in engines.installed() or not (path.is_dir() or len(path.parts) > 1):
        return Reader(name, Policy(ocr=Ocr(engine=name)))
    if not path.is_dir():
        raise ConfigurationError(f"there is no folder {name}; a reader is an engine's name, a policy file (.toml) or a folder of outputs")
    return Reader(path.resolve().name, None, path)


def _score(reader: Reader, truths: Sequence[Truth], data: Path, out: Path, *, workers: int, quiet: bool) -> Scores:
    if reader.outputs is not None or reader.policy is None:
        return score_folder(truths, data, reader.outputs or out, reader.name)
    folder = out / reader.name
    results = read_files([truth.document for truth in truths], reader.policy, folder, workers=workers, quiet=quiet)
    rows = tuple(
        score_document(truth, folder, result.output.name if result.output else "", state=result.state, reason=result.reason)
        for truth, result in zip(truths, results, strict=True)
    )
    return Scores(reader=reader.name, data=str(data.resolve()), outputs=str(folder.resolve()), rows=rows)


def print_summaries(summaries: dict[str, dict[str, list[Group]]]) -> None:
    """A table for each section; readers under each other where there are several, so that 80 columns hold any number of them."""
    for section in SECTIONS:
        found = {reader: summary[section.name] for reader, summary in summaries.items() if section.name in summary}
        if not found:
            continue
        kinds, totals = list[Sequence[str]](), list[Sequence[str]]()
        # Readers need not have the same groups: one may have been refused every PDF.
        for label, total in dict.fromkeys((group.label, group.total) for groups in found.values() for group in groups):
            parts = {reader: group for reader, groups in found.items() for group in groups if group.label == label}
            title = f"{label} ({max(group.pages for group in parts.values())})"
            rows = totals if total else kinds
            if len(summaries) == 1:
                rows += [(title, *_cells(section, group)) for group in parts.values()]
            else:
                rows += [(title, *[""] * len(section.metrics))]
                rows += [(f"  {reader}", *_cells(section, group)) for reader, group in parts.items()]
        print_rows(section.title, ["documents", *(metric.label for metric in section.metrics)], kinds, totals)


def _cells(section: Section, group: Group) -> list[str]:
    return [figure(group.macro[metric.name], metric) for metric in section.metrics]


def _say(scored: Sequence[Scores], out: Path) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    told: Callable[[str], None] = console.print
    told("Means over pages, each page's errors capped at 100 %; in brackets 95 % bootstrap intervals over documents.")
    for scores in scored:
        missing = [row for row in scores.rows if not row.output]
        if missing:
            told(f"{scores.reader}: nothing was delivered for {len(missing)} of {len(scores.rows)} documents, which count as empty:")
            for row in missing[:10]:
                told(f"  {row.name}: {row.reason or 'no output'}")
        told(f"Scores:  {out / scores.reader / 'scores.json'}")
