"""The edit distance of two ordered trees, after Zhang and Shasha (SIAM J. Comput. 18, 1989), exact."""

from __future__ import annotations

from collections.abc import Sequence

Costs = Sequence[Sequence[float]]


def edit_distance(left: Sequence[int], other: Sequence[int], renaming: Costs) -> float:
    """The least cost of turning one tree into another; inserting or deleting a node costs 1.

    A tree is given by its nodes in post-order: for each, the index of the leftmost leaf under it (its own for a leaf).
    `renaming[i][j]` is the cost of making node i of the first tree node j of the second. Neither tree is empty.
    """
    # between[i][j]: the distance of the subtrees under i and j; filled by the pairs of key roots, smaller ones first.
    between = [[0.0] * len(other) for _ in left]
    roots, other_roots = _key_roots(left), _key_roots(other)
    for root in roots:
        for other_root in other_roots:
            _fill(between, left, other, renaming, root, other_root)
    return between[-1][-1]


def _key_roots(left: Sequence[int]) -> list[int]:
    """The root, and every node with a sibling to its left: the highest node above each leftmost leaf."""
    return sorted({leaf: node for node, leaf in enumerate(left)}.values())


def _fill(between: list[list[float]], left: Sequence[int], other: Sequence[int], renaming: Costs, root: int, other_root: int) -> None:
    """The distances of all pairs of subtrees on the leftmost paths of two roots, by way of the forests before them."""
    start, other_start = left[root], other[other_root]
    if start == root and other_start == other_root:  # two leaves: most pairs of a table's cells
        between[root][other_root] = renaming[root][other_root]
        return
    other_nodes = [(j, j - other_start, other[j] - other_start) for j in range(other_start, other_root + 1)]
    # forests[i][j]: the distance of the first i nodes of one forest to the first j of the other.
    forests = [[float(j) for j in range(other_root - other_start + 2)]]
    for i in range(start, root + 1):
        above, before = forests[-1], forests[left[i] - start]
        on_path, rename, subtrees = left[i] == start, renaming[i], between[i]
        last = i - start + 1.0
        row = [last]
        for j, at, other_leaf in other_nodes:
            best = above[at + 1]
            last = (min(last, best)) + 1
            if on_path and not other_leaf:
                kept = above[at] + rename[j]
                last = min(last, kept)
                subtrees[j] = last
            else:
                kept = before[other_leaf] + subtrees[j]
                if kept < last:  # noqa: PLR1730  (this line runs a million times a table)
                    last = kept
            row.append(last)
        forests.append(row)
