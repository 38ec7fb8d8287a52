"""What a page holds besides its paragraphs: running headers and footers, footnotes, cut words, links and form fields."""

from __future__ import annotations

from pathlib import Path

import pymupdf
import pytest

import escriba
from escriba.document import Document
from escriba.formats.chunks import Chunker
from escriba.formats.markdown import page_markdown, page_text
from escriba.layout.flow import flowing


def read(document: pymupdf.Document, tmp_path: Path) -> Document:
    document.save(tmp_path / "made.pdf")
    return escriba.read(tmp_path / "made.pdf")


def markdown(document: Document) -> str:
    return "".join(page_markdown(page) for page in document.pages)


def paper(pages: int = 4) -> pymupdf.Document:
    """Pages with a running header, a page number, a chapter title of its own size, text, and a footnote on the second."""
    document = pymupdf.open()
    for number in range(1, pages + 1):
        page = document.new_page()
        page.insert_text((72, 40), f"Annual report of the harbour {number}", fontsize=10)
        page.insert_text((72, 75), f"Chapter {number}", fontsize=18)
        page.insert_textbox((72, 120, 520, 500), f"The body of page {number} in its usual size. " * 12, fontsize=11)
        if number == 2:
            page.insert_text((72, 700), "1 See the report of the year before.", fontsize=8)
            page.insert_textbox((72, 720, 520, 760), "What follows the note in the body's size.", fontsize=11)
        page.insert_text((290, 810), f"page {number} of {pages}", fontsize=9)
    return document


def test_running_headers_and_footers_stay_in_json_and_txt_but_leave_markdown_and_chunks(tmp_path: Path) -> None:
    """With their numbers changing from page to page; the chapters' titles, which change too, stay titles."""
    document = read(paper(), tmp_path)
    for page in document.pages:
        assert [block.text for block in page.blocks if block.kind == "page_header"] == [f"Annual report of the harbour {page.number}"]
        assert [block.text for block in page.blocks if block.kind == "page_footer"] == [f"page {page.number} of 4"]
        assert [block.text for block in page.blocks if block.kind == "heading"] == [f"Chapter {page.number}"]
        assert "Annual report" in page_text(page)
    chunker = Chunker("seed", 400)
    chunks = [chunk for page in document.pages for chunk in chunker.add(page)] + list(chunker.end())
    for text in (markdown(document), "\n".join(chunk.text for chunk in chunks)):
        assert "Annual report" not in text
        assert "of 4" not in text
        assert "The body of page 3" in text


def test_what_comes_twice_or_stands_inside_is_no_header(tmp_path: Path) -> None:
    """Two pages are too few to tell, and the same line in the middle of each page is text."""
    assert "Annual report" in markdown(read(paper(2), tmp_path))
    document = pymupdf.open()
    for number in range(5):
        document.new_page().insert_text((72, 40), f"Exhibit {number}")
    assert markdown(read(document, tmp_path)).count("Exhibit") == 5
    document = pymupdf.open()
    for _ in range(5):
        document.new_page().insert_text((72, 400), "The same line on every page")
    assert markdown(read(document, tmp_path)).count("The same line") == 5


def test_footnotes_stand_behind_the_text(tmp_path: Path) -> None:
    """The text goes on where it was interrupted."""
    page = read(paper(), tmp_path).pages[1]
    assert page.blocks[-1].kind == "footnote"
    text = page_markdown(page)
    assert text.index("What follows") < text.index("See the report")
    assert "1 See the report of the year before." in text.replace("\\", "")


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["an exam-", "ple of it"], "an example of it"),
        (["um aciden\u00ad", "te na rua"], "um acidente na rua"),
        (["trata-", "se de um caso"], "trata-se de um caso"),
        (["the Anglo-", "Saxon king"], "the Anglo-Saxon king"),
        (["a range of 3-", "5 items"], "a range of 3- 5 items"),
        (["a dash -", "then more"], "a dash - then more"),
        (["ends with a hyphen-"], "ends with a hyphen-"),
        (["", "one", "", "two"], "one  two"),
        ([], ""),
    ],
)
def test_cut_words_are_joined(lines: list[str], text: str) -> None:
    """Only where letters stand on both sides; before a capital or a pronoun the hyphen belongs to the word."""
    assert flowing(lines) == text


def form() -> pymupdf.Document:
    document = pymupdf.open()
    page = document.new_page()
    page.insert_text((72, 60), "Name of the applicant:")
    page.insert_text((96, 114), "I agree to the terms")
    page.insert_text((296, 114), "I do not agree")
    for kind, name, value, rect, choices in (
        (pymupdf.PDF_WIDGET_TYPE_TEXT, "name", "Maria Conceição", (200, 45, 400, 65), None),
        (pymupdf.PDF_WIDGET_TYPE_CHECKBOX, "agree", True, (72, 100, 90, 118), None),
        (pymupdf.PDF_WIDGET_TYPE_CHECKBOX, "disagree", False, (272, 100, 290, 118), None),
        (pymupdf.PDF_WIDGET_TYPE_COMBOBOX, "colour", "blue", (72, 130, 190, 148), ["red", "blue"]),
    ):
        widget = pymupdf.Widget()
        widget.field_type, widget.field_name, widget.rect, widget.field_value = kind, name, pymupdf.Rect(rect), value
        if choices:
            widget.choice_values = choices
        page.add_widget(widget)
    return document


def test_a_form_keeps_its_fields_values_and_ticks(tmp_path: Path) -> None:
    """Values in the text and by name in the JSON; a ticked box beside its words, whatever letter its font draws it with."""
    document = read(form(), tmp_path)
    [page] = document.pages
    assert [(field.kind, field.name, field.value) for field in page.fields] == [
        ("text", "name", "Maria Conceição"), ("checkbox", "agree", "Yes"), ("checkbox", "disagree", "Off"), ("choice", "colour", "blue"),
    ]  # fmt: skip
    text = markdown(document)
    assert "☒ I agree to the terms ☐ I do not agree" in text
    assert "Maria Conceição" in text
    assert "#" not in text
    assert "\n3" not in text


def test_links_lead_out_and_nothing_acts(tmp_path: Path) -> None:
    """Addresses of the web and of mail become links of the words they lie on; scripts and files do not."""
    document = pymupdf.open()
    page = document.new_page()
    page.insert_text((72, 300), "See our site or [this] for details")
    for x0, x1, uri in ((90, 135, "https://example.org/a(b)>c d"), (160, 185, "javascript:alert(1)"), (185, 300, "file:///etc/passwd")):
        page.insert_link({"kind": pymupdf.LINK_URI, "from": pymupdf.Rect(x0, 285, x1, 305), "uri": uri})
    read_ = read(document, tmp_path)
    assert [link.uri for link in read_.pages[0].links] == ["https://example.org/a(b)%3Ec%20d"]
    assert "See [our site](<https://example.org/a(b)%3Ec%20d>) or \\[this\\] for details" in markdown(read_)
