"""An answer as its model's parser understands it: one function, a parser by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from escriba.models.text import Unparsable, clean
from escriba.vision import Parsed

ParserName = Literal["olmocr", "markdown", "dots", "doctags"]
VERSIONS: Mapping[ParserName, int] = {"olmocr": 1, "markdown": 1, "dots": 1, "doctags": 1}
"""Raised whenever the same answer would be understood differently; part of `prompt_version`."""

_MATTER = re.compile(r"\s*---[ \t]*\n((?:[a-z_]{1,40}:[^\n]*\n){1,12})---[ \t]*(?:\n|$)")
_SWITCHES = ("is_rotation_valid", "is_table", "is_diagram")


def parse(parser: ParserName, answer: str, size: tuple[int, int]) -> Parsed:
    """What an answer says of an image of `size` (width and height in pixels). Raises `Unparsable`, whatever the answer is."""
    # Only those who ask have what Markdown is read with; the registry is everybody's.
    from escriba.models import doctags, layout_json, markdown  # noqa: PLC0415

    match parser:
        case "olmocr":
            return _olmocr(answer)
        case "markdown":
            return Parsed(tuple(markdown.pieces(answer)))
        case "dots":
            return layout_json.parse(answer, size)
        case "doctags":
            return doctags.parse(answer)


def _olmocr(answer: str) -> Parsed:
    """YAML front matter of five fields, then Markdown. The page must be turned where it says that it does not stand upright."""
    from escriba.models import markdown  # noqa: PLC0415

    text = markdown.unfenced(clean(answer))
    matter = _MATTER.match(text)
    if matter is None:
        raise Unparsable("the answer lacks its front matter")
    fields = {key: value.strip() for key, _, value in (line.partition(":") for line in matter.group(1).splitlines())}
    if set(fields) != {"primary_language", "rotation_correction", *_SWITCHES}:
        raise Unparsable("the answer's front matter has other fields than its model's")
    if any(fields[key].lower() not in {"true", "false"} for key in _SWITCHES) or fields["rotation_correction"] not in {
        "0",
        "90",
        "180",
        "270",
    }:
        raise Unparsable("the answer's front matter has values of another kind than its model's")
    turn = 0 if fields["is_rotation_valid"].lower() == "true" else int(fields["rotation_correction"])
    return Parsed(tuple(markdown.pieces(text[matter.end() :])), turn)
