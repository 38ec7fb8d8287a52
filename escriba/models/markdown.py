"""Answers in Markdown with HTML in it, the commonest form, as pieces in reading order."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from escriba.document import BlockKind
from escriba.models import tables
from escriba.models.text import TAG, Unparsable, clean, plain, visible
from escriba.vision import Said

_FENCE = re.compile(r"\s*(```+|~~~+)[ \t]*([\w-]*)[ \t]*\n")
_WRAPPERS = frozenset({"markdown", "md", "html", "text", "txt", "json"})
_PLACE = re.compile("\ufdd2([0-9]+)\ufdd3")
_FOOTNOTE = re.compile(r"\[\^([^\]\s]+)\]:\s*")
_BREAKS = frozenset(
    re.findall(
        r"\w+",
        "html body div section article main header footer p ul ol li h1 h2 h3 h4 h5 h6 blockquote pre hr figure figcaption form table",
    )
)
_DEEPEST = 40  # lists within quotes within lists; nothing printed comes near


def pieces(answer: str) -> list[Said]:
    """The answer's paragraphs, headings, list items, footnotes and tables; none where it is blank. Raises `Unparsable`."""
    text = visible(unfenced(clean(answer)))
    if re.search(r"<html[\s>]", text, re.IGNORECASE) and not re.search(r"</html\s*>", text, re.IGNORECASE):
        raise Unparsable("the answer is an HTML page that breaks off")
    text, found = _tables_apart(text)
    return list(_Blocks(text, found).pieces())


def unfenced(text: str) -> str:
    """What stands between the fences when the whole answer is fenced. Raises `Unparsable` when that fence does not end."""
    fence = _FENCE.match(text)
    if fence is None:
        return text
    mark, end = fence.group(1), text.rstrip()
    closed = end.endswith(f"\n{mark}") and len(end) > fence.end()
    if closed and f"\n{mark}" not in text[fence.end() - 1 : len(end) - len(mark) - 1]:
        return end[fence.end() : -len(mark)]
    if fence.group(2).lower() in _WRAPPERS and f"\n{mark}" not in text[fence.end() - 1 :]:
        raise Unparsable("the answer breaks off before its fence ends")
    return text


def _tables_apart(text: str) -> tuple[str, list[list[Said]]]:
    """The text with a mark in the place of each HTML table, and the tables. Raises `Unparsable` for one that does not end."""
    out, found, at, began, depth = list[str](), list[list[Said]](), 0, 0, 0
    for tag in TAG.finditer(text):
        if tag.group(2).lower() != "table":
            continue
        if not tag.group(1):
            began = began if depth else tag.start()
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                out += [text[at:began], f"\n\n\ufdd2{len(found)}\ufdd3\n\n"]
                found.append(tables.from_html(text[began : tag.end()]))
                at = tag.end()
    if depth:
        raise Unparsable("the answer has a table that breaks off")
    return "".join([*out, text[at:]]), found


@functools.cache
def _markdown() -> MarkdownIt:
    # Blocks only: inline markup is ours, for Markdown's own rules would eat LaTeX. What looks like a definition or like code is text that was read.
    parser = MarkdownIt("commonmark", {"maxNesting": _DEEPEST}).enable("table").disable(["inline", "reference", "code"])
    parser.disable("text_join", ignoreInvalid=True)
    return parser


class _Blocks:
    """Walks the blocks of one answer."""

    def __init__(self, text: str, found: Sequence[list[Said]]) -> None:
        self._text, self._found = text, found
        self._lines = text.split("\n")

    def pieces(self) -> Iterator[Said]:
        tokens = _markdown().parse(self._text)
        if any(token.level >= _DEEPEST - 2 for token in tokens):
            raise Unparsable("the answer is nested too deeply")
        kinds: list[tuple[BlockKind, int, str]] = [("paragraph", 0, "")]
        in_table = False
        for token in tokens:
            if token.type == "table_open" and token.map:
                yield tables.from_pipes([line.lstrip(" >\t") for line in self._lines[token.map[0] : token.map[1]]])
                in_table = True
            elif token.type == "table_close":
                in_table = False
            elif in_table:
                continue
            elif token.type == "inline":
                yield from self._said(token.content, *kinds[-1])
                if kinds[-1][2]:
                    kinds[-1] = ("list_item", 0, "")
            elif token.type == "fence":
                yield from self._said(token.content, "paragraph", 0, "")
            elif token.type == "html_block":
                yield from self._html(token.content)
            else:
                _nest(kinds, token)

    def _said(self, markup: str, kind: BlockKind, level: int, marker: str) -> Iterator[Said]:
        """A block's pieces: its text, and the tables whose marks stand in it."""
        for number, part in enumerate(_PLACE.split(markup)):
            if number % 2:
                yield from self._found[int(part)]
                continue
            footnote = _FOOTNOTE.match(part)
            if footnote:
                part = f"{footnote.group(1)} {part[footnote.end() :]}"  # noqa: PLW2901  (the printed mark, without Markdown's)
            text = plain(part)
            if text:
                yield Said("footnote" if footnote else kind, f"{marker} {text}" if marker else text, level=level)

    def _html(self, markup: str) -> Iterator[Said]:
        at, kind, level = 0, "paragraph", 0
        for tag in TAG.finditer(markup):
            name = tag.group(2).lower()
            if name not in _BREAKS:
                continue
            yield from self._said(markup[at : tag.start()], kind, level, "")  # type: ignore[arg-type]
            at = tag.end()
            if name == "li" or re.fullmatch(r"h[1-6]", name):
                opens = not tag.group(1)
                kind, level = ("paragraph", 0) if not opens else ("list_item", 0) if name == "li" else ("heading", int(name[1]))
        yield from self._said(markup[at:], kind, level, "")  # type: ignore[arg-type]


def _nest(kinds: list[tuple[BlockKind, int, str]], token: Token) -> None:
    if token.type == "heading_open":
        kinds.append(("heading", int(token.tag[1]), ""))
    elif token.type == "list_item_open":
        kinds.append(("list_item", 0, f"{token.info}{token.markup}" if token.info else ""))
    elif token.type in {"heading_close", "list_item_close"}:
        kinds.pop()
