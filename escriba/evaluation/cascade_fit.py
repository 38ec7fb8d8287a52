"""Fits the coefficients of `escalation.expected_error` on pages whose errors are known, few and monotone, so that 46 pages can bear them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

RIDGE = 0.3
"""Weight of the squared coefficients, in pages: what few pages say of one feature is taken with reserve."""
_ROUNDS = 60


class Fit(msgspec.Struct, frozen=True):
    """Coefficients by feature, and the root of the mean squared error on pages left out of their own fit (`left_out`) and in it."""

    coefficients: dict[str, float]
    left_out: float
    fitted: float
    predictions: tuple[float, ...]


def fit(features: Sequence[Mapping[str, float]], errors: Sequence[float], documents: Sequence[str]) -> Fit:
    """Least squares with coefficients of at least 0 (more evidence never means fewer errors) and without a constant: no evidence, no error.

    Pages of one document are left out together. At least two documents.
    """
    names = sorted({name for page in features for name in page})
    matrix = np.array([[page.get(name, 0.0) for name in names] for page in features])
    target = np.asarray(errors, float)
    groups = np.array([list(dict.fromkeys(documents)).index(name) for name in documents])
    left_out = np.zeros(len(target))
    for group in np.unique(groups):
        held = groups == group
        left_out[held] = predicted(matrix[held], solved(matrix[~held], target[~held]))
    coefficients = solved(matrix, target)
    return Fit(
        coefficients={name: round(float(value), 3) for name, value in zip(names, coefficients, strict=True)},
        left_out=_root_mean_square(left_out - target),
        fitted=_root_mean_square(predicted(matrix, coefficients) - target),
        predictions=tuple(float(value) for value in left_out),
    )


def solved(matrix: Numbers, target: Numbers) -> Numbers:
    """The coefficients, by coordinate descent, which ends at the one optimum there is."""
    gram, moment = matrix.T @ matrix + RIDGE * np.eye(matrix.shape[1]), matrix.T @ target
    coefficients = np.zeros(matrix.shape[1])
    for _ in range(_ROUNDS):
        for i in range(len(coefficients)):
            rest = moment[i] - gram[i] @ coefficients + gram[i, i] * coefficients[i]
            coefficients[i] = max(rest / gram[i, i], 0.0)
    return coefficients


def predicted(matrix: Numbers, coefficients: Numbers) -> Numbers:
    """Expected errors, from 0 to 1."""
    return np.clip(matrix @ coefficients, 0.0, 1.0)


def _root_mean_square(differences: Numbers) -> float:
    return float(np.sqrt((differences**2).mean()))
