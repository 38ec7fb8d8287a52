"""A page as Markdown and as plain text: pure functions, the same page always gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import groupby

from escriba.document import Block, BoundingBox, Line, Link, Page
from escriba.layout.flow import flowing
from escriba.layout.running import RUNNING

_SPECIAL = re.compile(r"([\\`*_\[\]<&])")
_LINE_START = re.compile(r"^(\s*)(#{1,6}(?=\s|$)|[-+>](?=\s|$)|\d+[.)](?=\s|$)|\|)")


def page_markdown(page: Page) -> str:
    """The page after a comment with its number; tables as HTML; a page that was not read says so."""
    parts = [f"<!-- page {page.number} -->"]
    if page.state == "QUARANTINED":
        parts.append(f"*Page {page.number} could not be read: {_escape(page.reason)}.*")
    lists: list[str] = []
    for block in page.blocks:
        if block.kind in RUNNING:
            continue
        if block.kind == "list_item":
            lists.append(_list_item(block, page.links))
            continue
        if lists:
            parts.append("\n".join(lists))
            lists = []
        parts.append(_block(block, page.links))
    if lists:
        parts.append("\n".join(lists))
    return "\n\n".join(parts) + "\n\n"


def _block(block: Block, links: Sequence[Link]) -> str:
    if block.table is not None:
        return block.table.html
    text = _text(block, links)
    if block.kind == "heading":
        return f"{'#' * block.level} {block.marker} {text}" if block.marker else f"{'#' * block.level} {text}"
    if block.kind == "footnote" and block.marker:
        text = f"{_escape(block.marker)} {text}"
    return _guard(text)


def _list_item(block: Block, links: Sequence[Link]) -> str:
    text = _text(block, links)
    number = re.match(r"\(?(\d{1,9})[.)]?\)?$", block.marker)
    return f"{number.group(1)}. {text}" if number else f"- {text}"


def _text(block: Block, links: Sequence[Link]) -> str:
    """The block's lines as running text, words that carry a link as one."""
    return flowing([_linked(line, links) if links else _escape(line.text) for line in block.lines])


def _linked(line: Line, links: Sequence[Link]) -> str:
    parts = []
    for target, words in groupby(line.words, key=lambda word: _target(word.box, links)):
        text = _escape(" ".join(word.text for word in words))
        parts.append(f"[{text}](<{target}>)" if target else text)
    return " ".join(parts)


def _target(box: BoundingBox, links: Sequence[Link]) -> str:
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return next((link.uri for link in links if link.box.x0 <= x <= link.box.x1 and link.box.y0 <= y <= link.box.y1), "")


def _escape(text: str) -> str:
    """Nothing in a document's text becomes markup or a tag."""
    return _SPECIAL.sub(r"\\\1", text).replace("\\<", "&lt;").replace("\\&", "&amp;")


def _guard(text: str) -> str:
    match = _LINE_START.match(text)
    if match is None:
        return text
    mark = match.group(2)
    # "1. " would start a list, "# " a heading: the backslash goes before the character that makes it one.
    escaped = f"{mark[:-1]}\\{mark[-1]}" if mark[0].isdigit() else f"\\{mark}"
    return match.group(1) + escaped + text[match.end() :]


def page_text(page: Page) -> str:
    """The page's lines, blocks set apart by an empty line, table rows with tabs; pages end with a form feed."""
    parts = []
    for block in page.blocks:
        if block.table is not None:
            parts.append(table_text(block.table.html))
        elif block.marker:
            parts.append(f"{block.marker} {block.text}")
        else:
            parts.append(block.text)
    return "\n\n".join(parts) + "\n\f"


def table_text(html: str) -> str:
    """A table's rows as lines, cells set apart by tabs."""
    parser = _Rows()
    parser.feed(html)
    return "\n".join("\t".join(row) for row in parser.rows)


class _Rows(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"} and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += " ".join(data.split())
