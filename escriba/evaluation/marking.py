"""Marks in a text, as HTML, the words that its truth does not have, and those of the truth that it lacks."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

from escriba.evaluation.texts import CJK

_LONGEST = 4_000  # words of a text that are shown
_WORD = re.compile(rf"[{CJK}]|[^\s{CJK}]+")


def marked(text: str, truth: str, *, fold: bool = False) -> str:
    """The text with `<mark>` around words that differ and `<del>` around what is missing; everything of the text is escaped.

    White space stays as it is. Long texts are cut, and say so.
    """
    (text, words), (truth, true_words) = _words(text), _words(truth)
    keys, true_keys = ([word.casefold() if fold else word for word, _, _ in found] for found in (words, true_words))
    out, at = list[str](), 0
    for step in Levenshtein.opcodes(true_keys, keys):
        if step.tag in {"delete", "replace"}:
            first, last = true_words[step.src_start], true_words[step.src_end - 1]
            lacking = " ".join(truth[first[1] : last[2]].split())
            out.append(f"{' ' if at else ''}<del>{html.escape(lacking)}</del>{'' if at else ' '}")
        for word, start, end in words[step.dest_start : step.dest_end]:
            out.append(html.escape(text[at:start]))
            out.append(html.escape(word) if step.tag == "equal" else f"<mark>{html.escape(word)}</mark>")
            at = end
    return "".join(out) + _rest(text, at)


def plain(text: str) -> str:
    """A text escaped, cut where it is long."""
    text, words = _words(text)
    return html.escape(text[: words[-1][2]] if words else "") + _rest(text, words[-1][2] if words else 0)


def _words(text: str) -> tuple[str, Sequence[tuple[str, int, int]]]:
    """The text in NFC, its white space tidied, and the first words with their places."""
    text = unicodedata.normalize("NFC", re.sub(r"[^\S\n\t]+", " ", re.sub(r"\n\s*\n\s*", "\n\n", text.replace("\f", "\n").strip())))
    found = [(match[0], *match.span()) for match in _WORD.finditer(text)]
    return text, found[:_LONGEST]


def _rest(text: str, at: int) -> str:
    rest = text[at:].strip()
    return f" … ({len(rest):,} characters more)" if rest else ""
