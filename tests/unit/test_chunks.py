"""Chunks lose nothing, repeat nothing, keep their size and never cut a row."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from escriba.document import Block, BoundingBox, Line, Page, Table, Word
from escriba.formats.chunks import Chunk, Chunker, tokens

WORDS = st.text("abcdefgçãé.;!0123", min_size=1, max_size=12)
ROW = st.lists(WORDS, min_size=1, max_size=4).map(lambda cells: f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")


def lines(words: list[str]) -> tuple[Line, ...]:
    box = BoundingBox(0, 0, 10, 10)
    return tuple(Line(box, tuple(Word(w, box) for w in words[n : n + 8])) for n in range(0, len(words), 8))


def text_block(kind: str, words: list[str], level: int, y: int) -> Block:
    return Block(kind=kind, box=BoundingBox(0, y, 10, y + 5), lines=lines(words), level=level if kind == "heading" else 0)  # type: ignore[arg-type]


def table_block(rows: list[str], y: int) -> Block:
    return Block(kind="table", box=BoundingBox(0, y, 10, y + 5), table=Table(f"<table>{''.join(rows)}</table>"))


BLOCK = st.one_of(
    st.builds(
        text_block,
        st.sampled_from(["heading", "paragraph", "list_item"]),
        st.lists(WORDS, min_size=1, max_size=60),
        st.integers(1, 3),
        st.integers(0, 99),
    ),
    st.builds(table_block, st.lists(ROW, min_size=1, max_size=8), st.integers(0, 99)),
)
PAGES = st.lists(st.lists(BLOCK, max_size=6), max_size=4)


def pages(blocks: list[list[Block]]) -> list[Page]:
    return [
        Page(number=n, width=100, height=100, route="text_layer", engine="x", state="DONE", blocks=tuple(some))
        for n, some in enumerate(blocks, start=1)
    ]


def chunked(made: list[Page], target: int, document: str = "d") -> list[Chunk]:
    chunker = Chunker(document, target)
    return [chunk for page in made for chunk in chunker.add(page)] + list(chunker.end())


def words_of(text: str) -> list[str]:
    return re.sub(r"</?(table|tr|td)>", " ", text).split()


@given(PAGES, st.integers(8, 200))
def test_nothing_is_lost_nothing_comes_twice_and_order_stands(blocks: list[list[Block]], target: int) -> None:
    """All words of all chunks in a row are the document's words in a row: the overlap is nil."""
    made = pages(blocks)
    wanted = [
        word
        for page in made
        for block in page.blocks
        for word in (words_of(block.table.html) if block.table else [w.text for line in block.lines for w in line.words])
    ]
    assert [word for chunk in chunked(made, target) for word in words_of(chunk.text)] == wanted


@given(PAGES, st.integers(8, 200))
def test_sizes_are_bounded(blocks: list[list[Block]], target: int) -> None:
    """At most the target, unless one row, one word or one heading is longer by itself."""
    for chunk in chunked(pages(blocks), target):
        assert chunk.tokens == tokens(chunk.text)
        alone = "\n\n" not in chunk.text and (chunk.text.count("<tr>") == 1 or " " not in chunk.text or chunk.text in chunk.headings)
        assert chunk.tokens <= target or alone


@given(PAGES, st.integers(8, 200))
def test_rows_stay_whole_and_tables_well_formed(blocks: list[list[Block]], target: int) -> None:
    """Every row of every table stands in one chunk, inside a table of its own."""
    made = pages(blocks)
    text = "\n\n".join(chunk.text for chunk in chunked(made, target))
    rows = [row for page in made for block in page.blocks if block.table for row in re.findall("<tr>.*?</tr>", block.table.html)]
    assert re.findall("<tr>.*?</tr>", text) == rows
    assert text.count("<table>") == text.count("</table>")


@given(PAGES, st.integers(8, 200))
def test_ids_are_unique_and_the_same_again(blocks: list[list[Block]], target: int) -> None:
    """The same document gives the same ids, another document others."""
    made = pages(blocks)
    ids = [chunk.id for chunk in chunked(made, target)]
    assert len(set(ids)) == len(ids)
    assert ids == [chunk.id for chunk in chunked(made, target)]
    assert not set(ids) & {chunk.id for chunk in chunked(made, target, "other")}


def test_headings_give_the_path_and_begin_what_follows() -> None:
    """A heading after text starts a chunk; headings in a row stay with their text; the path forgets deeper levels."""
    made = pages(
        [
            [
                text_block("heading", ["Report"], 1, 0),
                text_block("heading", ["Costs"], 2, 10),
                text_block("paragraph", ["They", "rose."], 0, 20),
            ],
            [
                text_block("paragraph", ["Again."], 0, 0),
                text_block("heading", ["Sales"], 2, 10),
                text_block("paragraph", ["They", "fell."], 0, 20),
            ],
        ]
    )
    first, second = chunked(made, 100)
    assert (first.text, first.headings, first.pages) == ("Report\n\nCosts\n\nThey rose.\n\nAgain.", ("Report", "Costs"), (1, 2))
    assert (second.text, second.headings, second.pages) == ("Sales\n\nThey fell.", ("Report", "Sales"), (2,))
    assert [(place.page, place.box.y0) for place in second.places] == [(2, 10), (2, 20)]


def test_a_spanning_cell_keeps_its_rows_together() -> None:
    """Rows under a rowspan are never parted, whatever the target."""
    html = '<table><tr><td rowspan="2">a</td><td>b</td></tr><tr><td>c</td></tr><tr><td>d</td><td>e</td></tr></table>'
    block = Block(kind="table", box=BoundingBox(0, 0, 1, 1), table=Table(html))
    texts = [chunk.text for chunk in chunked(pages([[block]]), 8)]
    assert texts == [
        '<table><tr><td rowspan="2">a</td><td>b</td></tr><tr><td>c</td></tr></table>',
        "<table><tr><td>d</td><td>e</td></tr></table>",
    ]
