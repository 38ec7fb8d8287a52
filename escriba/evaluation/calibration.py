"""Says what an engine's confidence is worth: how many of the words to which it gave one are in the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from escriba.document import Word

_STEPS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.93, 0.95, 0.98, 0.99, 0.995, 1.01)


class Reading(msgspec.Struct, frozen=True):
    """What an engine read of a page, and the page's true text."""

    engine: str
    words: Sequence[Word]
    truth: str


class Step(msgspec.Struct, frozen=True):
    """The words of an engine with a confidence from `low` to below `high`, and the share of their characters in words that the truth has not."""

    engine: str
    low: float
    high: float
    words: int
    wrong: float


def calibration(readings: Iterable[Reading]) -> list[Step]:
    """A row for each engine and step of confidence that has words; by letters and digits alone, in any order, each true word matched once."""
    seen: dict[str, list[tuple[float, int, bool]]] = {}
    for reading in readings:
        left = Counter(_bare(word) for word in reading.truth.split())
        for word in reading.words:
            bare = _bare(word.text)
            if bare:
                found = left[bare] > 0
                left[bare] -= found
                seen.setdefault(reading.engine, []).append((word.confidence or 0.0, len(bare), not found))
    steps = []
    for engine, words in sorted(seen.items()):
        for low, high in pairwise(_STEPS):
            inside = [(length, wrong) for confidence, length, wrong in words if low <= confidence < high]
            if inside:
                share = sum(length for length, wrong in inside if wrong) / sum(length for length, _ in inside)
                steps.append(Step(engine, low, high, len(inside), share))
    return steps


def _bare(word: str) -> str:
    return "".join(c for c in word.casefold() if c.isalnum())
