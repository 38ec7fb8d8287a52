"""TEDS and the tree distance under it, by hand and against slower ways to the same figure."""

from __future__ import annotations

import itertools
import random
from functools import cache

import numpy as np
import pytest

from escriba.evaluation.matching import best_partners
from escriba.evaluation.tables import score_tables, table_in_csv, tables_in_html, tables_in_json, tables_in_markdown, teds
from escriba.evaluation.trees import edit_distance

WHOLE = "<table><thead><tr><th colspan=2>A</th></tr></thead><tr><td>x<br>y<td>2</tr></table>"
SAME = "<table><tr><td colspan='2'> A </td></tr><tr><td>x  y</td><td>2</td></tr></table>"


def one(html: str) -> tuple[tuple[object, ...], ...]:
    [table] = tables_in_html(html)
    return table


@pytest.mark.parametrize(
    ("read", "full", "struct"),
    [
        (WHOLE, 1, 1),
        ("<table><tr><td>A</td></tr><tr><td>x y</td><td>2</td></tr></table>", 4 / 5, 4 / 5),  # one span differs, of 5 nodes
        ("<table><tr><td colspan=2>A</td></tr><tr><td>x z</td><td>2</td></tr></table>", 1 - 1 / 3 / 5, 1),  # a letter of three
        ("<table><tr><td colspan=2>A</td></tr></table>", 2 / 5, 2 / 5),  # a row and its two cells are missing
    ],
)
def test_teds_by_hand(read: str, full: float, struct: float) -> None:
    """Heads and bodies are dropped, th is td, white space and breaks are one space."""
    assert teds(one(read), one(SAME)) == pytest.approx((full, struct))


def naive_distance(one: list[object], other: list[object], costs: dict[tuple[int, int], float]) -> float:
    """The distance of two forests of (number, children), straight from its definition."""

    @cache
    def distance(a: tuple[tuple[int, tuple], ...], b: tuple[tuple[int, tuple], ...]) -> float:
        if not a or not b:
            return float(size(a) + size(b))
        (i, inside), (j, within) = a[-1], b[-1]
        return min(
            distance(a[:-1] + inside, b) + 1,
            distance(a, b[:-1] + within) + 1,
            distance(a[:-1], b[:-1]) + distance(inside, within) + costs[i, j],
        )

    def size(forest: tuple[tuple[int, tuple], ...]) -> int:
        return sum(1 + size(children) for _, children in forest)

    return distance((one,), (other,))


def random_tree(chance: random.Random, nodes: int) -> tuple[list[int], tuple[int, tuple]]:
    """Leftmost leaves in post-order, and the same tree as nested tuples numbered in post-order."""
    parents = [None, *(chance.randrange(n) for n in range(1, nodes))]
    left: list[int] = []

    def build(node: int) -> tuple[int, tuple]:
        children = tuple(build(child) for child in range(nodes) if parents[child] == node)
        left.append(left[children[0][0]] if children else len(left))
        return len(left) - 1, children

    return left, build(0)


def test_the_tree_distance_is_the_definition_s() -> None:
    """On random trees of any depth with random costs."""
    chance = random.Random(3)
    for _ in range(60):
        (left, tree), (other, other_tree) = random_tree(chance, chance.randint(1, 9)), random_tree(chance, chance.randint(1, 9))
        costs = np.array([[chance.choice([0, 0.25, 1]) for _ in other] for _ in left])
        table = {(i, j): float(costs[i, j]) for i in range(len(left)) for j in range(len(other))}
        assert edit_distance(left, other, costs) == pytest.approx(naive_distance(tree, other_tree, table))


def test_the_matching_is_the_best_of_all() -> None:
    """Every assignment is tried on small cases, more rows than columns too."""
    chance = random.Random(4)
    for _ in range(200):
        rows, columns = chance.randint(1, 6), chance.randint(1, 6)
        likeness = [[chance.randint(0, 30) for _ in range(columns)] for _ in range(rows)]
        found = best_partners(likeness)
        taken = [c for c in found if c is not None]
        assert len(taken) == len(set(taken)) == min(rows, columns)
        small, large = (rows, columns) if rows <= columns else (columns, rows)
        best = max(
            sum(likeness[i][j] if rows <= columns else likeness[j][i] for i, j in enumerate(chosen))
            for chosen in itertools.permutations(range(large), small)
        )
        assert sum(likeness[r][c] for r, c in enumerate(found) if c is not None) == best
    assert best_partners([[], []]) == [None, None]


def test_tables_are_found_in_every_output() -> None:
    """HTML within Markdown, pipe tables, JSON at any depth; nested tables are text; what is no table is none."""
    markdown = "text\n\n| a | b |\n|---|---|\n| 1<br>2 | 3\\|4 |\n\n| no | table |\n\n" + WHOLE
    html, pipes = tables_in_markdown(markdown)
    assert html == one(WHOLE)
    assert [[cell.text for cell in row] for row in pipes] == [["a", "b"], ["1 2", "3|4"]]
    value = {
        "pages": [{"blocks": [{"type": "text", "html": SAME}, {"kind": "table", "table": {"html": SAME}}, {"type": "table", "html": SAME}]}]
    }
    assert len(tables_in_json(value)) == 2
    assert tables_in_json([WHOLE, 3, None]) == [one(WHOLE)]
    [[[cell]]] = tables_in_html("<table><tr><td>o<table><tr><td>i</td></tr></table></td></tr></table>")
    assert cell.text == "oi"
    assert tables_in_html("<table></table> <p>none</p>") == []
    assert tables_in_html("<table><tr><td>cut") == [((("cut", 1, 1, False),),)]
    assert [[cell.text for cell in row] for row in table_in_csv('a,"b\nc"\n,\n1,2\n')] == [["a", "b c"], ["1", "2"]]


def test_tables_are_paired_once_and_a_missed_one_scores_nothing() -> None:
    """In any order; a CSV truth may be printed as several tables."""
    first, second = one("<table><tr><td>h</td><td>1</td></tr></table>"), one("<table><tr><td>k</td><td>2</td></tr></table>")
    assert [score.teds for score in score_tables([second, first], [first, second], complete=True)] == [1, 1]
    assert [(score.teds, score.matched) for score in score_tables([second], [first, second], complete=True)] == [(0, False), (1, True)]
    small, large = (one("<table>" + n * "<tr><td></td></tr>" + "</table>") for n in (1, 3))
    assert [score.teds for score in score_tables([small, large], [large, small], complete=True)] == [1, 1]  # without words, by size
    assert [score.teds for score in score_tables([], [first], complete=False)] == [0]
    assert [score.teds for score in score_tables([first, second], [first + second], complete=False)] == [1]
    assert [score.teds for score in score_tables([first, second], [first + second], complete=True)] == [0.5]
