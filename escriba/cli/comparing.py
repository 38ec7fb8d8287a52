"""What `escriba eval compare` does: prints how two readers compare, and writes the page that shows where they differ."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
from rich.console import Console

from escriba.cli.tables import figure, print_rows
from escriba.errors import ConfigurationError, EscribaError
from escriba.evaluation.comparison import Comparison, Contest, Pair, common, most_different
from escriba.evaluation.comparison import compare as compare_scores
from escriba.evaluation.comparison_page import Shown, comparison_html
from escriba.evaluation.marking import marked, plain
from escriba.evaluation.readings import Reading
from escriba.evaluation.scores import Scored, Scores, read_scores
from escriba.evaluation.summary import SECTIONS, Metric
from escriba.evaluation.tables import Table
from escriba.evaluation.truths import Truth, find_truths
from escriba.isolation import IsolatedReader
from escriba.policy import Policy
from escriba.ports import Reader

_SHOWN = 60  # documents on the page: with their pictures some 15 MB
_PICTURE_PIXELS = 1200
_SMALL = 0.001  # a p below this is printed as such


def compare(first: Path, second: Path, page: Path, *, json: bool) -> None:
    """Compare the scores in two folders. Raises `ConfigurationError` when a folder has none, or they share no document."""
    a, b = read_scores(first), read_scores(second)
    if a.reader == b.reader:  # the same reader twice, in two folders
        a, b = (msgspec.structs.replace(scores, reader=str(path)) for scores, path in ((a, first), (b, second)))
    comparison, different = compare_scores(a, b), most_different(common(a, b))
    shown, unseen = _documents(a, b, different[:_SHOWN])
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(comparison_html(comparison, _figures(comparison), shown, len(different)), "utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {page} ({error.strerror}); name another file with --html") from None
    if json:
        sys.stdout.write(msgspec.json.encode(comparison).decode() + "\n")
        return
    _print(comparison)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if unseen:
        console.print(f"{unseen} documents or truths are no longer where they were; they are shown as far as they are there.")
    console.print(f"Page:  {page.resolve().as_uri()}")


def _print(comparison: Comparison) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for metric in (metric for section in SECTIONS for metric in section.metrics if metric.name in comparison.metrics):
        better = "lower" if metric.lower_is_better else "higher"
        rows = [
            [(f"{c.label} ({c.difference.pages})", *_cells(c, metric)) for c in comparison.metrics[metric.name] if c.total == t]
            for t in (False, True)
        ]
        unit = "" if metric.scale == 1 else ", %"
        print_rows(f"{metric.label}{unit} ({better} is better)", ["documents", "A better", "B better", "ties", "A less B", "p"], *rows)
    console.print(f"A: {comparison.a}; B: {comparison.b}; {comparison.documents} documents in common.")
    if comparison.only_a or comparison.only_b:
        console.print(f"Left out: {comparison.only_a} documents that only A has, {comparison.only_b} that only B has.")
    console.print(f"A less B: mean over pages, in brackets its 95 % bootstrap interval over documents. p: {comparison.test}.")


def _cells(contest: Contest, metric: Metric) -> tuple[str, ...]:
    return (
        str(contest.wins),
        str(contest.losses),
        str(contest.ties),
        figure(contest.difference, metric),
        f"{contest.p:.3f}" if contest.p >= _SMALL else f"<{_SMALL}",
    )


def _figures(comparison: Comparison) -> list[Sequence[str]]:
    """The totals for the page, head first."""
    rows: list[Sequence[str]] = [("", f"{comparison.a} better", f"{comparison.b} better", "ties", "difference", "p")]
    for metric in (metric for section in SECTIONS for metric in section.metrics):
        totals = [contest for contest in comparison.metrics.get(metric.name, []) if contest.total]
        unit = "" if metric.scale == 1 else " %"
        rows += [(f"{metric.label}{unit}, {total.label} ({total.difference.pages})", *_cells(total, metric)) for total in totals]
    return rows


def _documents(a: Scores, b: Scores, different: Sequence[tuple[Pair, Metric]]) -> tuple[list[Shown], int]:
    """What the page shows, and how many documents or truths are gone."""
    try:
        truths = {truth.name: truth for truth in find_truths(Path(a.data))}
    except ConfigurationError:
        truths = {}
    shown = []
    with closing(IsolatedReader()) as reader:
        for pair, metric in different:
            truth = truths.get(pair.a.name)
            true_text = _truth(truth, metric)
            texts = [_text(scores, row, metric) for scores, row in ((a, pair.a), (b, pair.b))]
            fold = truth is not None and truth.fold
            figures = [
                f"{scores.reader} {metric.label} {metric.scale * (metric.of(row) or 0):.1f} %" for scores, row in ((a, pair.a), (b, pair.b))
            ]
            shown.append(
                Shown(
                    name=pair.a.name,
                    figures=" · ".join([pair.a.kind, *figures]),
                    truth=plain(true_text or "(no truth to show)"),
                    a=marked(texts[0], true_text, fold=fold) if true_text else plain(texts[0]),
                    b=marked(texts[1], true_text, fold=fold) if true_text else plain(texts[1]),
                    picture=_picture(truth, reader),
                )
            )
    return shown, sum(pair.a.name not in truths for pair, _ in different)


def _truth(truth: Truth | None, metric: Metric) -> str:
    if truth is None:
        return ""
    tables = truth.tables() if metric.name == "teds" else None
    return _lines(tables[0]) if tables else truth.text() or ""


def _text(scores: Scores, row: Scored, metric: Metric) -> str:
    reading = Reading(Path(scores.outputs), row.output) if row.output else None
    if reading is None:
        return ""
    return _lines(reading.tables() or []) if metric.name == "teds" else reading.text(picture=row.picture) or ""


def _lines(tables: Sequence[Table]) -> str:
    return "\n\n".join("\n".join(" | ".join(cell.text for cell in row) for row in table) for table in tables)


def _picture(truth: Truth | None, reader: Reader) -> bytes | None:
    """The first page; None where it cannot be drawn."""
    if truth is None:
        return None
    try:
        return reader.picture(truth.document, Policy(), 1, _PICTURE_PIXELS)
    except (EscribaError, OSError):
        return None
