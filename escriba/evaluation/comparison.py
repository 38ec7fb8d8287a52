"""Two readers on the same documents: who reads each better, by how much, and whether that may be chance."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from escriba.errors import ConfigurationError
from escriba.evaluation.scores import Scored, Scores
from escriba.evaluation.statistics import Estimate, estimate, permutation_p
from escriba.evaluation.summary import SECTIONS, Metric, Section, groups

TEST = "paired permutation test over documents, two-sided"
_TIE = 1e-12


class Contest(msgspec.Struct, frozen=True, kw_only=True):
    """One metric on one kind or total. `wins`: pages that A reads better; `difference`: mean of A - B with its interval; `p` after `TEST`."""

    label: str
    total: bool
    wins: int
    losses: int
    ties: int
    difference: Estimate
    p: float


class Pair(msgspec.Struct, frozen=True):
    """One document's two rows."""

    a: Scored
    b: Scored


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Contests by metric name; documents that only one of both has; the names of both readers."""

    a: str
    b: str
    test: str = TEST
    documents: int
    only_a: int
    only_b: int
    metrics: dict[str, list[Contest]]


def common(a: Scores, b: Scores) -> list[Pair]:
    """Rows of the documents that both have, in A's order. Raises `ConfigurationError` when there are none."""
    others = {row.name: row for row in b.rows}
    pairs = [Pair(row, others[row.name]) for row in a.rows if row.name in others]
    if not pairs:
        raise ConfigurationError("the two results have no document in common; make both from the same --data folder")
    return pairs


def compare(a: Scores, b: Scores) -> Comparison:
    """Every metric that both have, by kind and in total, on the documents in common."""
    pairs = common(a, b)
    return Comparison(
        a=a.reader,
        b=b.reader,
        documents=len(pairs),
        only_a=len(a.rows) - len(pairs),
        only_b=len(b.rows) - len(pairs),
        metrics={
            metric.name: contests for section in SECTIONS for metric in section.metrics if (contests := _contests(section, metric, pairs))
        },
    )


def _contests(section: Section, metric: Metric, pairs: Sequence[Pair]) -> list[Contest]:
    partner = {pair.a.name: pair.b for pair in pairs if section.has(pair.a) and section.has(pair.b)}
    rows = [pair.a for pair in pairs if pair.a.name in partner]
    return [_contest(label, total, metric, [Pair(row, partner[row.name]) for row in part]) for label, total, part in groups(section, rows)]


def _contest(label: str, total: bool, metric: Metric, pairs: Sequence[Pair]) -> Contest:  # noqa: FBT001
    differences = [difference(metric, pair) for pair in pairs]
    documents = [pair.a.document for pair in pairs]
    better = -1 if metric.lower_is_better else 1
    return Contest(
        label=label,
        total=total,
        wins=sum(better * d > _TIE for d in differences),
        losses=sum(better * d < -_TIE for d in differences),
        ties=sum(abs(d) <= _TIE for d in differences),
        difference=estimate(differences, documents),
        p=permutation_p(differences, documents),
    )


def difference(metric: Metric, pair: Pair) -> float:
    """A - B on one document that both have a figure for."""
    return (metric.of(pair.a) or 0.0) - (metric.of(pair.b) or 0.0)


def main_metric(pair: Pair) -> Metric | None:
    """What a document is judged by first: CER of pictures, word F1 of PDFs, TEDS, facts; None when only its cost is known."""
    sections = (section for section in SECTIONS if section.name != "cost" and section.has(pair.a) and section.has(pair.b))
    return next((section.metrics[0] for section in sections), None)


def most_different(pairs: Sequence[Pair]) -> list[tuple[Pair, Metric]]:
    """The documents read differently, largest difference in their main metric first."""
    judged = [(pair, metric) for pair in pairs if (metric := main_metric(pair)) is not None]
    apart = [(pair, metric) for pair, metric in judged if abs(difference(metric, pair)) > _TIE]
    return sorted(apart, key=lambda entry: (-abs(difference(entry[1], entry[0])), entry[0].a.name))
