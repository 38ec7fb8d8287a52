"""Finds what a reader made of a document in its folder of outputs, ours or another program's."""

from __future__ import annotations

import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from escriba.document import Document
from escriba.errors import ConfigurationError
from escriba.evaluation.facts import PageText
from escriba.evaluation.tables import Table, tables_in_html, tables_in_json, tables_in_markdown
from escriba.evaluation.texts import plain_text
from escriba.formats.markdown import page_markdown, page_text

_PAGE = re.compile(r"<!-- page (\d+) -->")


class Reading:
    """The outputs called `name` in a folder: NAME.txt, .md, .json, .html (NAME.1.html, ...), NAME/document.txt, .md, .json."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    @property
    def found(self) -> bool:
        return self._text_file(picture=True) is not None or self._table_files() != []

    def text(self, *, picture: bool) -> str | None:
        """The text without Markdown, None when there is none; of pictures plain text is preferred, of PDFs Markdown."""
        path = self._text_file(picture=picture)
        if path is None:
            return None
        if path.suffix == ".json":
            return "".join(map(page_text, self._document.pages)) if self._document else None
        text = path.read_text("utf-8", "replace")
        return plain_text(text) if path.suffix == ".md" else text

    def tables(self) -> list[Table] | None:
        """The tables found, None when there is no output that could hold any."""
        files = self._table_files()
        if not files:
            return None
        if files[0].suffix == ".json":
            return tables_in_json(self._json(files[0]))
        parse = tables_in_markdown if files[0].suffix == ".md" else tables_in_html
        return [table for path in files for table in parse(path.read_text("utf-8", "replace"))]

    def page(self, number: int | None) -> PageText:
        """One page for its facts; the whole document for None, and where the output does not part its pages."""
        if self._document is not None:
            pages = [page_markdown(page) for page in self._document.pages if number in {None, page.number}]
            text = "\n".join(pages)
            return PageText(text, True, tuple(tables_in_markdown(text)))  # noqa: FBT003  (it is Markdown)
        path = self._text_file(picture=False)
        if path is None:
            return PageText("", False, ())  # noqa: FBT003
        text, markdown = path.read_text("utf-8", "replace"), path.suffix == ".md"
        text = text if number is None else _page(text, number)
        return PageText(text, markdown, tuple(tables_in_markdown(text)))

    def usage(self) -> tuple[int, float] | None:
        """Pages, and seconds spent reading them, from the ledger's rows; None for other programs' outputs."""
        try:
            usage = json.loads((self._folder / self._name / "usage.json").read_bytes())
            return len([n for row in usage["rows"] for n in range(row["first"], row["last"] + 1)]), sum(r["seconds"] for r in usage["rows"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @cached_property
    def _document(self) -> Document | None:
        """Our own document.json; None when there is none, or it is another program's."""
        path = self._folder / self._name / "document.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Document) if path.is_file() else None
        except msgspec.DecodeError:
            return None

    def _text_file(self, *, picture: bool) -> Path | None:
        plain, marked = (f"{self._name}.txt", f"{self._name}/document.txt"), (f"{self._name}.md", f"{self._name}/document.md")
        order = (plain[0], marked[0], plain[1], marked[1]) if picture else (marked[1], marked[0], plain[0], plain[1])
        found = (path for name in (*order, f"{self._name}/document.json") if (path := self._folder / name).is_file())
        return next(found, None)

    def _table_files(self) -> list[Path]:
        for name in (f"{self._name}/document.json", f"{self._name}.json"):
            if (self._folder / name).is_file():
                return [self._folder / name]
        pattern = re.compile(re.escape(self._name) + r"(\.\d+)?\.html")
        pages = [path for path in sorted(self._folder.glob("*.html")) if pattern.fullmatch(path.name)]
        marked = [path for name in (f"{self._name}.md", f"{self._name}/document.md") if (path := self._folder / name).is_file()]
        return pages or marked[:1]

    def _json(self, path: Path) -> Any:
        try:
            return json.loads(path.read_bytes())
        except ValueError as error:
            raise ConfigurationError(f"{path} is not JSON: {error}") from None


def _page(text: str, number: int) -> str:
    """Page `number` of a text whose pages are parted by form feeds or by our comments; all of it when they are not."""
    marked = _PAGE.split(text)[1:]
    if marked:
        return "\n".join(part for n, part in zip(marked[::2], marked[1::2], strict=True) if int(n) == number)
    pages = text.split("\f")
    return (pages[number - 1] if number <= len(pages) else "") if len(pages) > 1 else text
