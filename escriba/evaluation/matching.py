"""Which read table stands for which true one: the assignment of the largest total likeness (Kuhn 1955, Munkres 1957)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def best_partners(likeness: Sequence[Sequence[float]]) -> list[int | None]:
    """For each row the column given to it, None where there are more rows than columns; no column twice."""
    matrix = np.array(likeness, dtype=float)
    if matrix.size == 0:
        return [None] * len(likeness)
    rows, columns = matrix.shape
    if rows <= columns:
        return list(_assigned(matrix))
    back: dict[int, int | None] = {row: column for column, row in enumerate(_assigned(matrix.T))}
    return [back.get(row) for row in range(rows)]


def _assigned(likeness: npt.NDArray[np.float64]) -> list[int]:
    """The column of each row, rows at most as many as columns: shortest augmenting paths over reduced costs."""
    rows, columns = likeness.shape
    row_price, price = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1)
    for new in range(rows):
        reached, cheapest, came_from = np.zeros(columns, bool), np.full(columns, np.inf), np.full(columns, -1)
        row, column = new, -1
        while True:
            reduced = -likeness[row] - row_price[row] - price
            better = ~reached & (reduced < cheapest)
            cheapest[better], came_from[better] = reduced[better], column
            column = int(np.argmin(np.where(reached, np.inf, cheapest)))
            step = cheapest[column]
            row_price[new] += step
            row_price[owner[reached]] += step
            price[reached] -= step
            cheapest[~reached] -= step
            reached[column] = True
            if owner[column] < 0:
                break
            row = int(owner[column])
        while column >= 0:
            before = int(came_from[column])
            owner[column] = owner[before] if before >= 0 else new
            column = before
    order = np.argsort(owner[owner >= 0])
    return [int(column) for column in np.flatnonzero(owner >= 0)[order]]
