"""What a reader's rows come to: each metric by kind of document and in total, macro averages with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from escriba.evaluation.scores import Scored
from escriba.evaluation.statistics import Estimate, estimate
from escriba.evaluation.texts import bag_rates, ratio
from escriba.evaluation.truths import UNKNOWN

_EXACT, _FOUND = 0.99, 0.5  # TEDS of a table read well, TEDS-struct of one found at all


@dataclass(frozen=True)
class Metric:
    """A figure of one document: None where the document has no truth for it. `scale` turns it into what is printed."""

    name: str
    label: str
    of: Callable[[Scored], float | None]
    lower_is_better: bool = False
    scale: float = 100.0
    digits: int = 1
    interval: bool = True  # whether there is room to print one


@dataclass(frozen=True)
class Section:
    """Metrics that stand in one table."""

    name: str
    title: str
    metrics: tuple[Metric, ...]

    def has(self, row: Scored) -> bool:
        return self.metrics[0].of(row) is not None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A kind or a total: macro averages of each metric, and micro figures (sums over sums) where they exist."""

    label: str
    total: bool
    documents: int
    pages: int
    missing: int
    macro: dict[str, Estimate]
    micro: dict[str, float]


def _scan(name: str, *, cap: bool = False) -> Callable[[Scored], float | None]:
    # Macro averages cap a page's errors at its length: one runaway page is one bad page.
    return lambda row: None if row.scan is None else min(getattr(row.scan, name), 1.0) if cap else getattr(row.scan, name)


def _digital(name: str) -> Callable[[Scored], float | None]:
    return lambda row: None if row.digital is None else getattr(row.digital, name)


def _tables(name: str) -> Callable[[Scored], float | None]:
    return lambda row: sum(getattr(table, name) for table in row.tables) / len(row.tables) if row.tables else None


SECTIONS = (
    Section(
        "scans",
        "Pictures of pages, % (CER and WER: lower is better)",
        (
            Metric("cer", "CER", _scan("cer", cap=True), lower_is_better=True),
            Metric("wer", "WER", _scan("wer", cap=True), lower_is_better=True),
            Metric("word_f1", "word F1", _scan("f1")),
        ),
    ),
    Section(
        "digital",
        "PDFs, %",
        (
            Metric("text_f1", "word F1", _digital("f1")),
            Metric("text_recall", "recall", _digital("recall"), interval=False),
            Metric("text_precision", "precision", _digital("precision"), interval=False),
            Metric("order", "order", _digital("order")),
        ),
    ),
    Section("tables", "Tables, %", (Metric("teds", "TEDS", _tables("teds")), Metric("teds_struct", "TEDS-struct", _tables("struct")))),
    Section(
        "facts",
        "Facts that hold, %",
        (Metric("facts", "facts", lambda row: ratio(row.facts.passed, row.facts.total, 1.0) if row.facts else None),),
    ),
    Section(
        "cost",
        "Time and cost of reading (lower is better)",
        (
            Metric("seconds", "s a page", lambda row: row.seconds_a_page, lower_is_better=True, scale=1, digits=2),
            Metric("usd_per_1000_pages", "USD a 1,000 pages", lambda row: row.usd_per_1000_pages, lower_is_better=True, scale=1, digits=3),
        ),
    ),
)


def summarise(rows: Sequence[Scored]) -> dict[str, list[Group]]:
    """The groups of each section that has rows: kinds by name, then totals."""
    summary = {section.name: [group(section, label, total, part) for label, total, part in groups(section, rows)] for section in SECTIONS}
    return {name: found for name, found in summary.items() if found}


def groups(section: Section, rows: Sequence[Scored]) -> Iterator[tuple[str, bool, list[Scored]]]:
    """(label, whether it is a total, rows) of a section's kinds (where there is a manifest) and totals; none is empty."""
    rows = [row for row in rows if section.has(row)]
    kinds = {row.kind for row in rows}
    if section.name != "cost" and kinds != {UNKNOWN}:
        for kind in sorted(kinds):
            yield kind, False, [row for row in rows if row.kind == kind]
    for label, belongs in TOTALS[section.name].items():
        part = [row for row in rows if belongs(row)]
        if part:
            yield label, True, part


def _handwritten(row: Scored) -> bool:
    return "handwrit" in row.kind or "manuscript" in row.kind


TOTALS: dict[str, dict[str, Callable[[Scored], bool]]] = {
    "scans": {
        "print, no CJK": lambda row: not _handwritten(row) and row.scan is not None and not row.scan.cjk,
        "print": lambda row: not _handwritten(row),
        "handwritten or mixed": _handwritten,
        "all": lambda row: True,
    },
    # Scans in a PDF need OCR whatever the text layers are worth.
    "digital": {
        "born digital": lambda row: "image-only" not in row.kind,
        "image-only": lambda row: "image-only" in row.kind,
        "all": lambda row: True,
    },
    "tables": {"all": lambda row: True},
    "facts": {"all": lambda row: True},
    "cost": {"pictures": lambda row: row.picture, "PDFs": lambda row: not row.picture, "all": lambda row: True},
}


def group(section: Section, label: str, total: bool, rows: Sequence[Scored]) -> Group:  # noqa: FBT001  (as groups yields it)
    """Macro and micro figures of some rows, all of which have the section's metrics."""
    documents = [row.document for row in rows]
    # What reading costs is asked of a pile of pages, not of the mean document.
    weights = [float(row.pages) for row in rows] if section.name == "cost" else None
    macro = {metric.name: estimate([metric.of(row) or 0.0 for row in rows], documents, weights) for metric in section.metrics}
    return Group(
        label=label,
        total=total,
        documents=len(set(documents)),
        pages=len(rows),
        missing=sum(not row.output for row in rows),
        macro=macro,
        micro=_micro(section.name, rows),
    )


def _micro(section: str, rows: Sequence[Scored]) -> dict[str, float]:
    """Sums over sums: long documents weigh more than short ones."""
    if section == "scans":
        sums = _sums(
            [row.scan for row in rows], ("characters", "character_edits", "words", "word_edits", "bag_truth", "bag_read", "bag_hits")
        )
        recall, precision, f1 = bag_rates(sums["bag_truth"], sums["bag_read"], sums["bag_hits"])
        rates = {"cer": ratio(sums["character_edits"], sums["characters"]), "wer": ratio(sums["word_edits"], sums["words"])}
        return rates | {"word_recall": recall, "word_precision": precision, "word_f1": f1}
    if section == "tables":
        return _table_totals(rows)
    if section == "facts":
        sums = _sums([row.facts for row in rows], ("passed", "total"))
        return {"facts": ratio(sums["passed"], sums["total"], 1.0), "passed": sums["passed"], "total": sums["total"]}
    if section == "cost":
        return {"pages": sum(row.pages for row in rows), "seconds": sum(row.seconds or 0.0 for row in rows)}
    return {}


def _table_totals(rows: Sequence[Scored]) -> dict[str, float]:
    """Means over true tables; the F figures count invented tables too, where the truth is known to be complete."""
    tables = [table for row in rows for table in row.tables or ()]
    complete = [row for row in rows if row.tables_complete]
    known = [table for row in complete for table in row.tables or ()]
    either = len(known) + sum(row.read_tables for row in complete)
    figures = {
        "tables": float(len(tables)),
        "teds": sum(table.teds for table in tables) / len(tables),
        "teds_struct": sum(table.struct for table in tables) / len(tables),
        "found": sum(table.struct >= _FOUND for table in tables) / len(tables),
        "exact": sum(table.teds >= _EXACT for table in tables) / len(tables),
    }
    if either:
        figures |= {
            "f_teds": 2 * sum(table.teds for table in known) / either,
            "f_struct": 2 * sum(table.struct for table in known) / either,
        }
    return figures


def _sums(scores: Sequence[Any], names: Sequence[str]) -> dict[str, int]:
    return {name: sum(getattr(score, name) for score in scores) for name in names}
