"""The edit distance of two ordered trees, after Zhang and Shasha (SIAM J. Comput. 18, 1989), exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Costs = npt.NDArray[np.float64]


def edit_distance(left: Sequence[int], other: Sequence[int], renaming: Costs) -> float:
    """The least cost of turning one tree into another; inserting or deleting a node costs 1.

    A tree is given by its nodes in post-order: for each, the index of the leftmost leaf under it (its own for a leaf).
    `renaming[i, j]`, 0 to 1, is the cost of making node i of the first tree node j of the second. Neither tree is empty.
    """
    between, costs = _with_leaves(left, other, renaming).tolist(), renaming.tolist()
    for root in _key_roots(left):
        for other_root in _key_roots(other):
            _fill(between, left, other, costs, root, other_root)
    return float(between[-1][-1])


def _with_leaves(left: Sequence[int], other: Sequence[int], renaming: Costs) -> Costs:
    """Distances of all pairs of subtrees of which one is a leaf: it becomes its likest node there, the others come or go."""
    between = renaming.copy()
    for node, start in enumerate(other):
        between[:, node] = node - start + renaming[:, start : node + 1].min(axis=1)
    for node, start in enumerate(left):
        if node > start:
            between[node] = node - start + renaming[start : node + 1].min(axis=0)
    return between


def _key_roots(left: Sequence[int]) -> list[int]:
    """The highest node above each leftmost leaf, in post-order; leaves left out."""
    return sorted(node for leaf, node in {leaf: node for node, leaf in enumerate(left)}.items() if node > leaf)


def _fill(
    between: list[list[float]], left: Sequence[int], other: Sequence[int], renaming: list[list[float]], root: int, other_root: int
) -> None:
    """The distances of all pairs of subtrees on the leftmost paths of two roots, by way of the forests before them.

    Those of smaller subtrees are in `between` already: key roots come in post-order, leaves are done.
    """
    start, other_start = left[root], other[other_root]
    # Index, and how many nodes of the forest stand before it and before its leftmost leaf.
    other_nodes = [(j, j - other_start, other[j] - other_start) for j in range(other_start, other_root + 1)]
    # forests[i][j]: the distance of the first i nodes of one forest to the first j of the other.
    forests = [[float(j) for j in range(len(other_nodes) + 1)]]
    for i in range(start, root + 1):
        above, before = forests[-1], forests[left[i] - start]
        on_path, rename, subtrees = left[i] == start, renaming[i], between[i]
        least = i - start + 1.0
        row = [least]
        for j, at, at_leaf in other_nodes:
            least = (above[at + 1] if above[at + 1] < least else least) + 1  # noqa: FURB136  (a million times a table)
            if on_path and not at_leaf:
                kept = above[at] + rename[j]
                least = min(least, kept)
                subtrees[j] = least
            else:
                kept = before[at_leaf] + subtrees[j]
                least = min(least, kept)
            row.append(least)
        forests.append(row)
