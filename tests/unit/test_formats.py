"""Outputs are pure functions of what was read."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from escriba.document import Block, BoundingBox, Document, Line, Page, Table, Word
from escriba.formats.markdown import page_markdown, page_text
from escriba.formats.outputs import OutputWriter, document_schema
from escriba.formats.report import ReportPage, report_html
from escriba.policy import Policy
from tests.documents import ROOT

BOX = BoundingBox(0, 0, 10, 10)


def block(text: str, **changes: object) -> Block:
    lines = tuple(Line(BOX, tuple(Word(w, BOX) for w in part.split())) for part in text.split("\n"))
    return Block(**{"kind": "paragraph", "box": BOX, "lines": lines, **changes})  # type: ignore[arg-type]


def page(*blocks: Block, **changes: object) -> Page:
    return Page(
        **{"number": 1, "width": 10, "height": 10, "route": "text_layer", "engine": "x", "state": "DONE", "blocks": blocks, **changes}
    )  # type: ignore[arg-type]


PAGE = page(
    block("Title", kind="heading", level=2),
    block("one\ntwo"),
    block("first", kind="list_item", marker="•"),
    block("second", kind="list_item", marker="3."),
    Block(kind="table", box=BOX, table=Table("<table><tr><td>a</td><td>b &amp; c</td></tr><tr><td>d</td></tr></table>")),
)


def test_a_page_as_markdown() -> None:
    """Headings, joined lines, lists, tables as HTML, a comment with the number."""
    assert page_markdown(PAGE) == (
        "<!-- page 1 -->\n\n## Title\n\none two\n\n- first\n3. second\n\n"
        "<table><tr><td>a</td><td>b &amp; c</td></tr><tr><td>d</td></tr></table>\n\n"
    )


def test_a_page_as_text() -> None:
    """Lines stay lines, cells are parted by tabs, the page ends with a form feed."""
    assert page_text(PAGE) == "Title\n\none\ntwo\n\n• first\n\n3. second\n\na\tb & c\nd\n\f"


def test_a_lost_page_says_so() -> None:
    """A quarantined page names itself and its reason, which cannot become markup."""
    lost = page(number=7, state="QUARANTINED", reason="killed by <b>")
    assert page_markdown(lost) == "<!-- page 7 -->\n\n*Page 7 could not be read: killed by &lt;b>.*\n\n"
    assert page_text(lost) == "\n\f"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# not a heading", "<p># not a heading</p>"),
        ("- no item", "<p>- no item</p>"),
        ("1. no item", "<p>1. no item</p>"),
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
        ("a *b* _c_ `d` [e](f)", "<p>a *b* _c_ `d` [e](f)</p>"),
        ("Q&A &lt;", "<p>Q&amp;A &amp;lt;</p>"),
        ("| a | b |", "<p>| a | b |</p>"),
        ("a \\ b", "<p>a \\ b</p>"),
    ],
)
def test_text_never_becomes_markup(text: str, html: str) -> None:
    """What a document says is shown as it says it."""
    rendered = MarkdownIt("commonmark").render(page_markdown(page(block(text))))
    assert html in rendered


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_rendered_markdown_shows_every_word(text: str) -> None:
    """Whatever the text, Markdown shows its letters and digits again and makes no tag of them."""
    if not text.split():
        return
    rendered = MarkdownIt("commonmark").render(page_markdown(page(block(text))))
    assert "".join(c for c in text if c.isascii() and c.isalnum()) in "".join(c for c in _plain(rendered) if c.isascii() and c.isalnum())


def _plain(html: str) -> str:
    from html.parser import HTMLParser

    out: list[str] = []
    parser = HTMLParser()
    parser.handle_data = out.append  # type: ignore[method-assign]
    parser.feed(html)
    return "".join(out)


def test_outputs_are_streams_of_pages(tmp_path: Path) -> None:
    """document.json is one valid document, page by page; two writers give the same bytes."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with OutputWriter(tmp_path / name, "ab", "application/pdf", Policy(languages=("por",))) as writer:
            writer.add(PAGE)
            writer.add(page(number=2, state="QUARANTINED", reason="gone"))
    for output in ("document.md", "document.txt", "document.json"):
        assert (tmp_path / "one" / output).read_bytes() == (tmp_path / "two" / output).read_bytes()
    document = msgspec.json.decode((tmp_path / "one" / "document.json").read_bytes(), type=Document)
    assert (document.schema_version, document.sha256, document.languages, len(document.pages)) == (1, "ab", ("por",), 2)
    assert document.pages[0] == PAGE


def test_a_broken_off_output_is_no_document(tmp_path: Path) -> None:
    """When assembling fails, no file pretends to be whole."""

    def break_off() -> None:
        with OutputWriter(tmp_path, "ab", "application/pdf", Policy(languages=("por",))) as writer:
            writer.add(PAGE)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode((tmp_path / "document.json").read_bytes())


def test_the_published_schema_is_the_codes() -> None:
    """docs/document.schema.json says what document.json is."""
    assert json.loads((ROOT / "docs" / "document.schema.json").read_text()) == json.loads(json.dumps(document_schema()))


def test_the_report_needs_nothing_and_runs_nothing() -> None:
    """Pictures inside, names escaped, nothing loaded, no script even if a document tries."""
    evil = "<img src=x onerror=alert(1)>"
    html = report_html(
        [
            ReportPage(document=evil, page=page(block(evil), confidence=0.5), picture=b"\xff\xd8"),
            ReportPage(document="b", page=page(state="DEGRADED", reason="low")),
        ],
        [(evil, "because <b>")],
    )
    assert "<img src=x" not in html
    assert "default-src 'none'" in html
    assert "data:image/jpeg;base64,/9g=" in html
    assert "2 pages: 1 done, 1 degraded; 1 documents rejected" in html
    assert "confidence 0.500" in html
    assert "http" not in html.replace("http-equiv", "")
