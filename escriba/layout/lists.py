"""Recognises the bullet or number that begins a list item."""

from __future__ import annotations

import re

from escriba.document import Line

_BULLET = re.compile(r"[•‣▪▫◦●○■□\u2013\u2014*·\-\uf0b7\uf0a7\uf0d8➢✓]$")
_NUMBER = re.compile(r"(\(?\d{1,2}[.)]|\(?[a-zA-Z]\)|[ivx]{1,4}[.)])$")


def marked(line: Line) -> tuple[str, Line]:
    """The line's marker and the line without it; an empty marker when it begins no list item."""
    if len(line.words) < 2:  # noqa: PLR2004  (a marker and something to mark)
        return "", line
    first, rest = line.words[0].text, line.words[1:]
    if _BULLET.match(first):
        return "•" if first != "-" else "-", Line(line.box, rest)
    if _NUMBER.match(first):
        return first, Line(line.box, rest)
    return "", line
