"""Answers nobody asked for: parsers answer or refuse, in linear time, and what comes out is text."""

from __future__ import annotations

import re
import time
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escriba.models import Unparsable, parse
from escriba.models.parsers import ParserName
from escriba.models.text import LONGEST, plain
from escriba.vision import Parsed

MATTER = "---\nprimary_language: en\nis_rotation_valid: True\nrotation_correction: 0\nis_table: False\nis_diagram: False\n---\n"
PARSERS: tuple[ParserName, ...] = get_args(ParserName)
SCRAPS = (
    "<table>", "</table>", "<tr>", "<td>", "</td>", '<td rowspan="9999" colspan=0>', "<th colspan='3'>", "<caption>", "<script>", "</script>", "<!--", "-->",
    "<doctag>", "</doctag>", "<otsl>", "</otsl>", "<fcel>", "<lcel>", "<ucel>", "<xcel>", "<ecel>", "<nl>", "<text>", "</text>", "<picture>", "<loc_250>",
    "<loc_999>", "<list_item>", "</list_item>", "<caption>", "```", "```html\n", "\n", "\n\n", "# ", "- ", "> ", "1. ", "|", "|-|-|\n", "| a | b |\n", "$", "$$",
    "\\(", "\\)", "**", "_", "![", "](", ")", "[^1]: ", "&#x110000;", "&amp;", "&#" + "9" * 5000 + ";", "\x00", "\ud800", "\ufdd0", "\ufdd01\ufdd1", "\ufdd20\ufdd3",
    "[", "]", "{", "}", '"bbox"', ":", ",", '[{"bbox":[0,0,9,9],"category":"Text","text":"', '"}]', "1e999", "NaN", "null", "-5", "---\n", MATTER, "<html>", "</html>", "Preço 41",
)  # fmt: skip


def judged(parser: ParserName, answer: str) -> Parsed | None:
    """Any other exception than Unparsable is the test's failure."""
    try:
        return parse(parser, answer, (1000, 1400))
    except Unparsable:
        return None


def assert_only_text(parsed: Parsed) -> None:
    """No tag but a table's own, no attribute but spans, nothing that UTF-8 cannot say, boxes within the image."""
    for piece in parsed.pieces:
        (piece.text + piece.html).encode("utf-8")
        assert "\x00" not in piece.text + piece.html
        assert (piece.kind == "table") == bool(piece.html)
        if piece.html:
            assert re.fullmatch(r"<table>(<tr>(<(t[dh])( rowspan=\"\d+\")?( colspan=\"\d+\")?>[^<>]*</\3>)+</tr>)+</table>", piece.html)
        assert piece.box is None or 0 <= piece.box[0] < piece.box[2] <= 1
    assert parsed.turn in {0, 90, 180, 270}


@pytest.mark.parametrize("parser", PARSERS)
@given(scraps=st.lists(st.one_of(st.sampled_from(SCRAPS), st.text(max_size=8)), max_size=30))
def test_scraps_in_any_order_are_answered_or_refused(parser: ParserName, scraps: list[str]) -> None:
    """Nothing but Unparsable is raised, with and without the front matter that lets Markdown be reached."""
    for answer in ("".join(scraps), MATTER + "".join(scraps), f"<doctag>{''.join(scraps)}</doctag>", f"<table>{''.join(scraps)}</table>"):
        parsed = judged(parser, answer)
        if parsed is not None:
            assert_only_text(parsed)


@given(markup=st.text(alphabet="ab*_`$\\()[]!<>/&; \n\ufdd0\ufdd11", max_size=60))
def test_inline_markup_never_fails(markup: str) -> None:
    """And no mark of ours is left in the text."""
    parsed = judged("markdown", markup)
    assert parsed is None or not re.search("[\ufdd0-\ufdef]", parsed.text)


GARBAGE = {
    "tables": "<table>", "cells": "<table><tr><td>", "angles": "<", "openers": "<a ", "comments": "<!--", "scripts": "<script>", "brackets": "[", "figures": "![a](",
    "stars": "**a ", "underscores": "_a", "dollars": "$a", "formulae": "\\(", "ticks": "`a\n", "pipes": "|a", "rows": "|a|b|\n|-|-|\n", "quotes": "> ", "lists": "- ",
    "fences": "```\n", "json": '[{"bbox":', "doctags": "<doctag>", "elements": "<list>", "entities": "&#9", "divs": "<div>", "spans": " rowspan", "lines": "a\n", "dashes": "---\n",
}  # fmt: skip


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("parser", PARSERS)
def test_nested_garbage_takes_linear_time(parser: ParserName, name: str) -> None:
    """Eight times the garbage takes eight times as long, not sixty-four; measured on this process's own clock."""
    front = {"olmocr": MATTER, "doctags": "<doctag><otsl>"}.get(parser, "")
    seconds = []
    for characters in (10_000, 80_000):
        answer = front + GARBAGE[name] * (characters // len(GARBAGE[name]))
        began = time.process_time()
        judged(parser, answer)
        seconds.append(time.process_time() - began)
    assert seconds[1] < max(24 * seconds[0], 0.5), seconds


@pytest.mark.parametrize("parser", PARSERS)
def test_an_endless_answer_is_not_looked_at(parser: ParserName) -> None:
    """Longer than any page."""
    with pytest.raises(Unparsable, match="longer than any page"):
        parse(parser, "a" * (LONGEST + 1), (1, 1))


@pytest.mark.parametrize(
    ("parser", "answer"),
    [
        ("olmocr", "# No front matter"),
        ("olmocr", MATTER.replace("rotation_correction: 0", "rotation_correction: 45")),
        ("olmocr", MATTER.replace("is_table: False\n", "")),
        ("olmocr", MATTER.replace("is_table: False", "is_table: perhaps")),
        ("markdown", "text <table><tr><td>1</td>"),
        ("markdown", "<table></table>"),
        ("markdown", "<table><tr>stray<td>1</td></tr></table>"),
        ("markdown", "```markdown\n# A"),
        ("markdown", "<html><body><p>a"),
        ("markdown", "a <!-- b"),
        ("markdown", f"price &#{'9' * 5000};"),
        ("markdown", "- " * 300 + "deep"),
        ("dots", "not at all JSON"),
        ("dots", "[" * 100_000),
        ("dots", "9" * 5000),
        ("dots", '"a string"'),
        ("dots", '[{"bbox": [0, 0, 1], "category": "Text", "text": "a"}]'),
        ("dots", '[{"bbox": [0, 0, NaN, 1], "category": "Text", "text": "a"}]'),
        ("dots", '[{"bbox": [0, 0, 1, 1], "category": "Advice", "text": "a"}]'),
        ("dots", '[{"bbox": [0, 0, 1, 1], "category": "Table", "text": "| a |"}]'),
        ("doctags", "plain text"),
        ("doctags", "<doctag><text>a</text>"),
        ("doctags", "<doctag><text>a</doctag>"),
        ("doctags", "<doctag>a</doctag>"),
        ("doctags", "<doctag><otsl><fcel>a<nl><fcel>b<fcel>c<nl></otsl></doctag>"),
        ("doctags", "<doctag><otsl><lcel><fcel>a<nl></otsl></doctag>"),
        ("doctags", "<doctag><otsl><fcel>a<lcel><nl><ucel><fcel>b<nl></otsl></doctag>"),
        ("doctags", "<doctag></doctag> and more"),
    ],
)
def test_an_answer_of_another_form_is_refused_without_quoting_it(parser: ParserName, answer: str) -> None:
    """Each in one sentence that holds none of the document."""
    with pytest.raises(Unparsable) as refusal:
        parse(parser, answer, (100, 100))
    assert answer[:12] not in str(refusal.value)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("**a** *b* __c__ _d_ ~~e~~ `f`", "a b c d e f"),
        ("snake_case_name 3*4*5", "snake_case_name 3*4*5"),
        (r"\(a_b^*c^*\) and \* star", r"\(a_b^*c^*\) and * star"),
        ("US$ 5 and US$ 3, $x_1$", "US$ 5 and US$ 3, $x_1$"),
        ("R$5,00 *e* R$6,00", "R$5,00 e R$6,00"),
        ("[texto](https://a.example/b) [12](2020)", "texto [12](2020)"),
        ("![what it shows](page_1_2_3_4.png)", ""),
        ("x<sup>2</sup> <a href='javascript:x'>go</a> a < b <c", "x2 go a < b <c"),
        ("if a <b and c> d", "if a <b and c> d"),
        ("&lt;b&gt; &amp; &Eacute;", "<b> & É"),
    ],
)
def test_inline_markup_becomes_the_text_that_was_printed(markup: str, text: str) -> None:
    """Marks go, what only looks like marks stays, LaTeX stays as it is."""
    assert plain(markup) == text


def test_tables_keep_spans_within_reason_and_lose_all_else() -> None:
    """Spans are bounded by the format's and the table's end; a table in a cell is its text; a pipe row longer than its head loses nothing."""
    [table] = parse(
        "markdown", '<table><tr><td rowspan="9999" colspan="0">a<table><tr><td>b</td></tr></table>c</td></tr></table>', (1, 1)
    ).pieces
    assert table.html == "<table><tr><td>a b c</td></tr></table>"
    [table] = parse("markdown", "| a |\n|---|\n| 1 | 2 |\n", (1, 1)).pieces
    assert table.html == "<table><tr><th>a</th></tr><tr><td>1</td><td>2</td></tr></table>"
    [table] = parse("markdown", "<table><tr><td>&lt;script&gt; &amp;amp; <img src=x onerror=y></td></tr></table>", (1, 1)).pieces
    assert table.html == "<table><tr><td>&lt;script&gt; &amp;amp;</td></tr></table>"
    caption, table = parse("markdown", "<table><caption>T <b>1</b></caption><tr><td>a</table>", (1, 1)).pieces
    assert (caption.text, table.text) == ("T 1", "a")


def test_definitions_and_code_are_text_that_was_read() -> None:
    """Markdown would make them disappear or stand apart."""
    parsed = parse("markdown", "[Porto]: Lisboa\n\n    indented\n\n[^2]: seen\n", (1, 1))
    assert [(piece.kind, piece.text) for piece in parsed.pieces] == [
        ("paragraph", "[Porto]: Lisboa"),
        ("paragraph", "indented"),
        ("footnote", "2 seen"),
    ]
