"""From boxes and lines to blocks in reading order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escriba.document import Block, BoundingBox, Line, Page, Word
from escriba.layout.grids import Rule, find_grids
from escriba.layout.headings import FontCensus, promote
from escriba.layout.lists import marked
from escriba.layout.paragraphs import blocks_from_lines
from escriba.layout.reading_order import reading_order


def line(text: str, x0: float, y0: float, width: float = 200, height: float = 10) -> Line:
    words = text.split()
    step = width / max(1, len(words))
    return Line(
        BoundingBox(x0, y0, x0 + width, y0 + height),
        tuple(Word(w, BoundingBox(x0 + n * step, y0, x0 + (n + 1) * step - 1, y0 + height), 0.9) for n, w in enumerate(words)),
    )


BOXES = st.lists(
    st.tuples(st.floats(0, 500), st.floats(0, 700), st.floats(1, 300), st.floats(1, 60)).map(
        lambda t: BoundingBox(t[0], t[1], t[0] + t[2], t[1] + t[3])
    ),
    max_size=25,
)


@given(BOXES)
def test_reading_order_is_a_permutation(boxes: list[BoundingBox]) -> None:
    """Whatever the boxes, each comes exactly once."""
    assert sorted(reading_order(boxes)) == list(range(len(boxes)))


@given(BOXES)
def test_no_line_is_lost_in_blocks(boxes: list[BoundingBox]) -> None:
    """Every word given stands in exactly one block."""
    lines = [Line(box, (Word(f"w{n}", box, 1.0), Word("x", box, 1.0))) for n, box in enumerate(boxes)]
    blocks = blocks_from_lines(lines, 600)
    assert sorted(w.text for b in blocks for ln in b.lines for w in ln.words) == sorted(w.text for ln in lines for w in ln.words)


def test_a_title_over_two_columns() -> None:
    """The title first, then the whole left column, then the right one, then the full-width line below."""
    lines = [line("title", 50, 20, 400, 20)]
    lines += [line(f"left {n}", 50, 60 + 12 * n) for n in range(8)]
    lines += [line(f"right {n}", 300, 60 + 12 * n) for n in range(8)]
    lines += [line("a line across the whole page", 50, 200, 450)]
    mixed = lines[::2] + lines[1::2]
    blocks = blocks_from_lines(mixed, 600)
    assert [ln.text for b in blocks for ln in b.lines] == [
        "title", *(f"left {n}" for n in range(8)), *(f"right {n}" for n in range(8)), "a line across the whole page",
    ]  # fmt: skip


def test_a_receipt_is_read_across() -> None:
    """Short entries with prices at the far side are rows, not columns."""
    lines = [entry for n in range(4) for entry in (line(f"item {n}", 50, 20 * n, 60), line(f"{n},00", 250, 20 * n, 30))]
    blocks = blocks_from_lines(lines[::-1], 400)
    assert [ln.text for b in blocks for ln in b.lines] == [f"item {n} {n},00" for n in range(4)]


def test_paragraphs_end_where_white_or_size_or_a_short_line_says_so() -> None:
    """A gap, another height or a list marker begins a new block."""
    lines = [
        line("one", 0, 0),
        line("two", 0, 12),
        line("three", 0, 40),
        line("four", 0, 52, height=20),
        line("• five", 0, 74),
        line("six", 0, 86),
    ]
    blocks = blocks_from_lines(lines, 300)
    assert [(b.kind, b.text) for b in blocks] == [
        ("paragraph", "one\ntwo"), ("paragraph", "three"), ("paragraph", "four"), ("list_item", "five\nsix"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "marker", "rest"),
    [("• item", "•", "item"), ("- item", "-", "item"), ("1. item", "1.", "item"), ("(a) item", "(a)", "item"), ("iv) item", "iv)", "item"), ("2026 was", "", "2026 was"), ("•", "", "•"), ("A. Moura", "", "A. Moura")],
)  # fmt: skip
def test_list_markers(text: str, marker: str, rest: str) -> None:
    """Bullets and short numbers begin items; years and initials do not."""
    found, left = marked(line(text, 0, 0))
    assert (found, left.text) == (marker, rest)


def page(*blocks: Block, route: str = "text_layer") -> Page:
    return Page(number=1, width=600, height=800, route=route, engine="x", state="DONE", blocks=blocks)  # type: ignore[arg-type]


def block(text: str, size: float, *, bold: bool = False, kind: str = "paragraph", marker: str = "") -> Block:
    made = line(text, 0, 0)
    return Block(kind=kind, box=made.box, lines=(made,), font_size=size, bold=bold, marker=marker)  # type: ignore[arg-type]


def test_headings_are_ranked_over_the_whole_document() -> None:
    """The largest type is level 1 on whatever page it stands; bold body type stands out least; body stays body."""
    body = block("a long body text of the document " * 9, 10)
    first = page(block("Title", 20), body, block("Section", 14, bold=True))
    second = page(block("Bold words", 10, bold=True), body, block("Other section", 14, bold=True, kind="list_item", marker="2."))
    census = FontCensus()
    for each in (first, second):
        census.add(each)
    assert [(b.kind, b.level) for b in promote(first, census).blocks] == [("heading", 1), ("paragraph", 0), ("heading", 2)]
    assert [(b.kind, b.level) for b in promote(second, census).blocks] == [("heading", 3), ("paragraph", 0), ("heading", 2)]
    scanned = page(block("Title", 20), route="ocr")
    assert promote(scanned, census) == scanned
    assert promote(first, FontCensus()) == first


def grid_lines(xs: list[float], ys: list[float]) -> tuple[list[Rule], list[Rule]]:
    return [Rule(y, xs[0], xs[-1]) for y in ys], [Rule(x, ys[0], ys[-1]) for x in xs]


def test_a_full_grid() -> None:
    """Three by two fields, each its own cell."""
    [grid] = find_grids(*grid_lines([0, 50, 100], [0, 20, 40, 60]))
    assert [(c.row, c.column, c.rows, c.columns) for c in grid.cells] == [(r, c, 1, 1) for r in range(3) for c in range(2)]
    assert grid.bounds == (0, 0, 100, 60)


def test_missing_lines_make_spans() -> None:
    """A first row without its inner line spans both columns; a first column without one spans two rows."""
    across = [Rule(0, 0, 100), Rule(20, 0, 100), Rule(40, 50, 100), Rule(60, 0, 100)]
    down = [Rule(0, 0, 60), Rule(50, 20, 60), Rule(100, 0, 60)]
    [grid] = find_grids(across, down)
    assert [(c.row, c.column, c.rows, c.columns) for c in grid.cells] == [(0, 0, 1, 2), (1, 0, 2, 1), (1, 1, 1, 1), (2, 1, 1, 1)]


def test_lines_in_pieces_are_one_line_and_two_tables_are_two() -> None:
    """Segments that touch are joined; grids that do not touch stay apart; loose lines are none."""
    across, down = grid_lines([0, 50, 100], [0, 20, 40])
    pieces = [Rule(r.at, r.start, 48) for r in across] + [Rule(r.at + 0.5, 49, r.end) for r in across]
    more_across, more_down = grid_lines([0, 50, 100], [200, 220, 240])
    grids = find_grids([*pieces, *more_across, Rule(500, 0, 100)], [*down, *more_down])
    assert [len(grid.cells) for grid in grids] == [4, 4]
    assert find_grids(*grid_lines([0, 100], [0, 50])) == []


def test_a_drawing_is_no_table() -> None:
    """Lines that enclose no rectangles (an L-shaped field) give nothing."""
    across = [Rule(0, 0, 100), Rule(20, 50, 100), Rule(40, 0, 100)]
    down = [Rule(0, 0, 40), Rule(50, 20, 30), Rule(100, 0, 40)]
    assert find_grids(across, down) == []
