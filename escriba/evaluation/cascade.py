"""What sending pages to a vision model gains against what it costs: curves over the share of pixels sent, in the cascade's order and in others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate

import msgspec
import numpy as np

from escriba.evaluation.split import Half
from escriba.evaluation.statistics import CERTAINTY, DRAWS, SEED

MEASURES = ("cer", "f1")
_THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One page: what the cascade expects of its CPU reading, what it would cost to send, and its scores before and after.

    `expected` is the expected share of wrong characters, from `features` (`escalation.features`), `pixels` those of the image sent; CER is capped
    at 1, as macro averages have it.
    """

    name: str
    document: str
    kind: str
    half: Half
    expected: float
    features: dict[str, float]
    pixels: int
    cer: float
    f1: float
    cer_after: float
    f1_after: float

    def gain(self, measure: str) -> float:
        """How much better the page gets when it is sent, negative where it gets worse."""
        return self.cer - self.cer_after if measure == "cer" else self.f1_after - self.f1


class Point(msgspec.Struct, frozen=True):
    """Where a curve stands once `pages` pages have been sent: the share (0 to 1) of all pixels, and the means over all pages, sent or not."""

    pages: int
    pixels: float
    cer: float
    f1: float


class Interval(msgspec.Struct, frozen=True):
    """A figure with its 95 % bootstrap interval over documents (None for fewer than two documents)."""

    value: float
    low: float | None
    high: float | None


Order = Callable[[Trial], float]
"""What pages are sent by, the highest first."""


def expected(trial: Trial) -> float:
    """The cascade's order."""
    return trial.expected


def best(measure: str) -> Order:
    """The oracle's order: the most gain a pixel first, which no order beats in area."""
    return lambda trial: trial.gain(measure) / trial.pixels


def in_order(trials: Sequence[Trial], order: Order) -> list[Trial]:
    """The pages as they would be sent; equals by name."""
    return sorted(trials, key=lambda trial: (-order(trial), trial.name))


def curve(trials: Sequence[Trial], order: Order) -> list[Point]:
    """The points of an order, from nothing sent to everything sent."""
    whole = sum(trial.pixels for trial in trials)
    sent = in_order(trials, order)
    pixels = accumulate((trial.pixels for trial in sent), initial=0)
    cer = accumulate((-trial.gain("cer") for trial in sent), initial=sum(trial.cer for trial in trials))
    f1 = accumulate((trial.gain("f1") for trial in sent), initial=sum(trial.f1 for trial in trials))
    return [Point(n, p / whole, c / len(trials), f / len(trials)) for n, (p, c, f) in enumerate(zip(pixels, cer, f1, strict=True))]


def area(points: Sequence[Point], measure: str) -> float:
    """The area under a curve, a page being sent bit by bit: the mean of the measure over all budgets of pixels."""
    return float(np.trapezoid([getattr(point, measure) for point in points], [point.pixels for point in points]))


def captured(trials: Sequence[Trial], measure: str, order: Order = expected) -> float:
    """How far (1: all the way, below 0: worse than chance) an order's area lies on the way from random order to the oracle's; 1 where no order matters.

    Random order needs no draws: a page stands as often at one place of an order as at the same place of its reverse, so that
    on average half of its gain is in the area.
    """
    ours, oracle = curve(trials, order), curve(trials, best(measure))
    chance = (getattr(ours[0], measure) + getattr(ours[-1], measure)) / 2
    possible = chance - area(oracle, measure)
    return (chance - area(ours, measure)) / possible if abs(possible) > 1e-12 else 1.0  # noqa: PLR2004  (nothing but rounding)


def with_interval(trials: Sequence[Trial], figure: Callable[[Sequence[Trial]], float]) -> Interval:
    """A figure of some pages and its interval: pages of one document are drawn together, seeded."""
    documents: dict[str, list[Trial]] = {}
    for trial in trials:
        documents.setdefault(trial.document, []).append(trial)
    groups = list(documents.values())
    if len(groups) < 2:  # noqa: PLR2004  (nothing to draw from)
        return Interval(figure(trials), None, None)
    drawn = np.random.default_rng(SEED).integers(len(groups), size=(DRAWS // 5, len(groups)))
    figures = [figure([trial for place in places for trial in groups[place]]) for places in drawn]
    low, high = np.percentile(figures, [(100 - CERTAINTY) / 2, (100 + CERTAINTY) / 2])
    return Interval(figure(trials), float(low), float(high))


class AtThreshold(msgspec.Struct, frozen=True):
    """What comes of sending every page whose expected error reaches a threshold; shares from 0 to 1.

    `gained` is the share of the CER that sending everything would save.
    """

    threshold: float
    pages: int
    pixels: float
    cer: float
    f1: float
    gained: float


def at_threshold(trials: Sequence[Trial], threshold: float) -> AtThreshold:
    """The point of the cascade's curve where a threshold stops it."""
    sent = sum(trial.expected >= threshold for trial in trials)
    points = curve(trials, expected)
    point, possible = points[sent], points[0].cer - points[-1].cer
    return AtThreshold(threshold, sent, point.pixels, point.cer, point.f1, (points[0].cer - point.cer) / possible if possible else 0.0)


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """Means over some pages with a threshold: before and after, shares from 0 to 1; `sent` of pages, `pixels` of their pixels."""

    pages: int
    cer: float
    f1: float
    expected: float
    sent: float
    pixels: float
    cer_after: float
    f1_after: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A half: its kinds, all of it, the areas by measure, what thresholds would do, and the orders' curves."""

    stop: AtThreshold
    kinds: dict[str, Figure]
    whole: Figure
    captured: dict[str, Interval]
    thresholds: tuple[AtThreshold, ...]
    curves: dict[str, tuple[Point, ...]]


def summary(trials: Sequence[Trial], threshold: float) -> Summary:
    """All figures of some pages."""
    kinds = {kind: [trial for trial in trials if trial.kind == kind] for kind in sorted({trial.kind for trial in trials})}
    ours = curve(trials, expected)
    return Summary(
        stop=at_threshold(trials, threshold),
        kinds={kind: _figure(part, threshold) for kind, part in kinds.items()},
        whole=_figure(trials, threshold),
        captured={measure: with_interval(trials, partial(captured, measure=measure)) for measure in MEASURES},
        thresholds=tuple(at_threshold(trials, step) for step in sorted({*_THRESHOLDS, threshold})),
        # Nothing beats the oracle of its own measure; random order is a straight line.
        curves={
            "cascade": tuple(ours),
            **{f"oracle {measure}": tuple(curve(trials, best(measure))) for measure in MEASURES},
            "random": (ours[0], ours[-1]),
        },
    )


def _figure(trials: Sequence[Trial], threshold: float) -> Figure:
    step, points = at_threshold(trials, threshold), curve(trials, expected)
    return Figure(
        pages=len(trials),
        cer=points[0].cer,
        f1=points[0].f1,
        expected=sum(trial.expected for trial in trials) / len(trials),
        sent=step.pages / len(trials),
        pixels=step.pixels,
        cer_after=step.cer,
        f1_after=step.f1,
    )
