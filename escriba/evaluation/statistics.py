"""Intervals and tests that resample whole documents, seeded, so that the same scores always give the same figures."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

SEED = 20_240_229
DRAWS = 5_000
_EXACT = 12  # documents up to which every pattern of signs is tried
CERTAINTY = 95  # per cent


class Estimate(msgspec.Struct, frozen=True):
    """A mean over `pages` rows of `documents` documents with its 95 % bootstrap interval (None for fewer than two documents)."""

    mean: float
    low: float | None
    high: float | None
    pages: int
    documents: int


def estimate(values: Sequence[float], documents: Sequence[str], weights: Sequence[float] | None = None) -> Estimate:
    """Mean (weighted, if so wished) and interval; values of the same document are drawn together, as they are not independent.

    At least one value.
    """
    weighted = np.asarray(values, float) if weights is None else np.asarray(values, float) * weights
    sums, counts = _by_document(weighted, documents), _by_document(np.ones(len(values)) if weights is None else weights, documents)
    mean = float(sums.sum() / counts.sum())
    if len(sums) < 2:  # noqa: PLR2004  (nothing to draw from)
        return Estimate(mean, None, None, len(values), len(sums))
    drawn = np.random.default_rng(SEED).integers(len(sums), size=(DRAWS, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [(100 - CERTAINTY) / 2, (100 + CERTAINTY) / 2])
    return Estimate(mean, float(low), float(high), len(values), len(sums))


def permutation_p(differences: Sequence[float], documents: Sequence[str]) -> float:
    """Two-sided p of a paired permutation test: how often a mean this far from 0 comes about when each document's sign is a coin's.

    Exact up to 12 documents, else from 5,000 draws.
    """
    sums = _by_document(differences, documents)
    if len(sums) <= _EXACT:
        signs = 1 - 2 * ((np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1)
    else:
        signs = 1 - 2 * np.random.default_rng(SEED).integers(2, size=(DRAWS, len(sums)))
    reached = np.abs(signs @ sums) >= abs(sums.sum()) - 1e-12
    # The pattern that was observed is one of the exact ones; among draws it is added.
    return float(reached.mean() if len(sums) <= _EXACT else (reached.sum() + 1) / (DRAWS + 1))


def _by_document(values: Sequence[float] | Numbers, documents: Sequence[str]) -> Numbers:
    """The sum over each document's values."""
    order = {name: place for place, name in enumerate(dict.fromkeys(documents))}
    return np.bincount([order[name] for name in documents], weights=np.asarray(values, float)).astype(np.float64)
