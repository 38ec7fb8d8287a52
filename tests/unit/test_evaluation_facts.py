"""Facts about pages: each kind, true and false, and what a wrong line is told."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from escriba.errors import ConfigurationError
from escriba.evaluation.facts import Fact, PageText, holds, read_facts, score_facts
from escriba.evaluation.tables import tables_in_html

TABLE = (
    "<table><tr><th rowspan=2>Year</th><th colspan=2>Tons</th></tr><tr><th>in</th><th>out</th></tr>"
    "<tr><td>1901</td><td>12</td><td>34</td></tr><tr><td>1902</td><td>56</td><td>78</td></tr></table>"
)
TEXT = "# The “harbour” — report\n\nOf **citrus** there was none.  Later\nthere was citrus & more.\n\n" + TABLE


@pytest.mark.parametrize(
    ("fact", "true"),
    [
        ({"type": "present", "text": 'The "harbour" - report'}, True),
        ({"type": "present", "text": "the harbour"}, False),
        ({"type": "present", "text": 'THE "HARBOUR"', "case_sensitive": False}, True),
        ({"type": "present", "text": "Of citrvs there"}, False),
        ({"type": "present", "text": "Of citrvs there", "max_diffs": 1}, True),
        ({"type": "present", "text": "Of xxtrxx there", "max_diffs": 2}, False),
        ({"type": "present", "text": "citrus", "first_n": 20}, False),
        ({"type": "present", "text": "citrus", "first_n": 50}, True),
        ({"type": "present", "text": "78", "last_n": 5}, True),
        ({"type": "present", "text": "1901", "last_n": 5}, False),
        ({"type": "absent", "text": "lemons"}, True),
        ({"type": "absent", "text": "citrus"}, False),
        ({"type": "order", "before": "harbour", "after": "Later"}, True),
        ({"type": "order", "before": "Later", "after": "harbour"}, False),
        ({"type": "order", "before": "none", "after": "citrus"}, True),  # the second citrus stands after it
        ({"type": "order", "before": "citrvs", "after": "none", "max_diffs": 1}, True),
        ({"type": "order", "before": "more", "after": "citrvs", "max_diffs": 1}, False),
        ({"type": "order", "before": "lemons", "after": "Later"}, False),
        ({"type": "table", "cell": "34"}, True),
        ({"type": "table", "cell": "35"}, False),
        ({"type": "table", "cell": "34", "left": "12", "down": "78", "up": "out"}, True),
        ({"type": "table", "cell": "34", "left": "1901"}, False),
        ({"type": "table", "cell": "34", "right": "56"}, False),
        ({"type": "table", "cell": "78", "top_heading": "Tons", "left_heading": "1902"}, True),
        ({"type": "table", "cell": "78", "top_heading": "out"}, True),
        ({"type": "table", "cell": "78", "top_heading": "in"}, False),
        ({"type": "table", "cell": "1902", "top_heading": "Year"}, True),
        ({"type": "table", "cell": "out", "left": "in", "up": "Tons"}, True),
        ({"type": "table", "cell": "in", "left": "Year"}, True),  # which spans two rows
        ({"type": "table", "cell": "Tons", "right": "Tons"}, False),  # it is one cell
        ({"type": "table", "cell": "zz", "max_diffs": 2}, False),  # no cell is like it at all
        ({"type": "table", "cell": "19O1"}, False),
        ({"type": "table", "cell": "19O1", "max_diffs": 1}, True),
    ],
)
def test_facts_by_hand(fact: dict[str, object], true: bool) -> None:
    """Quotes, dashes, emphasis and white space do not count; characters and case do unless the fact says otherwise."""
    page = PageText(TEXT, True, tuple(tables_in_html(TEXT)))
    assert holds(msgspec.convert(fact, Fact), page) is true


def test_an_empty_page_has_nothing_and_lacks_everything() -> None:
    """Whatever may differ."""
    nothing = PageText("", False, ())
    little = PageText("harbour", False, ())  # which stands in what is looked for
    assert not holds(msgspec.convert({"type": "present", "text": "the harbour was quiet", "max_diffs": 2}, Fact), little)
    for fact, true in (
        ({"type": "present", "text": "a b", "max_diffs": 2}, False),
        ({"type": "absent", "text": "a b", "max_diffs": 2}, True),
        ({"type": "order", "before": "a", "after": "b"}, False),
        ({"type": "table", "cell": "a"}, False),
    ):
        assert holds(msgspec.convert(fact, Fact), nothing) is true


def test_the_benchmark_s_own_lines_are_read(tmp_path: Path) -> None:
    """Its bookkeeping is let through; empty lines are skipped; failed facts are named by line; facts look at their page."""
    path = tmp_path / "a.facts.jsonl"
    path.write_text(
        '{"pdf": "a.pdf", "page": 1, "id": "x", "type": "present", "max_diffs": 0, "text": "one", "case_sensitive": true, "first_n": null, '
        '"last_n": null, "checked": "verified", "url": "u"}\n\n{"page": 2, "type": "present", "text": "one"}\n{"type": "absent", "text": "one"}\n'
    )
    pages = {1: "one", 2: "two", None: "one two"}
    score = score_facts(read_facts(path), lambda number: PageText(pages[number], False, ()))
    assert (score.passed, score.total, score.failed) == (1, 3, (3, 4))


@pytest.mark.parametrize(
    "line",
    [
        '{"type": "present"}',
        '{"type": "maths", "text": "a"}',
        '{"type": "present", "text": " "}',
        '{"type": "present", "text": "a", "colour": 1}',
        '{"type": "present", "text": "a", "page": 0}',
        '{"type": "order", "before": "a", "after": "b", "max_diffs": -1}',
        '{"text": "a"}',
        "{",
        "[]",
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    """One sentence with file and line."""
    path = tmp_path / "a.facts.jsonl"
    path.write_text('{"type": "present", "text": "a"}\n' + line + "\n")
    with pytest.raises(ConfigurationError, match=r"a\.facts\.jsonl, line 2, is no fact") as told:
        read_facts(path)
    assert "\n" not in str(told.value)
