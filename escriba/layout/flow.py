"""Makes lines as printed into running text: words that a line's end has cut are joined again."""

from __future__ import annotations

import re
from collections.abc import Sequence

_CUT = re.compile(r"(?<=[^\W\d_]{2})[-\u00ad\u2010]$")
"""A hyphen after two letters at the end of a line: "well-" or "exam-", but not "3-" or "-"."""
_GOES_ON = re.compile(r"[^\W\d_]+")
_ENCLITIC = {"se", "me", "lhe", "lhes", "lo", "la", "los", "las", "nos", "vos"}
"""Portuguese pronouns that keep their hyphen wherever the line ends ("trata-se")."""


def flowing(lines: Sequence[str]) -> str:
    """The lines' texts as one, with spaces between them; the hyphen of a cut word goes, that of a compound before a capital stays."""
    text = ""
    for line in lines:
        if not text:
            text = line
        elif not line or _CUT.search(text) is None:
            text = f"{text} {line}"
        else:
            rest = _GOES_ON.match(line)
            if rest is None:
                text = f"{text} {line}"
            elif rest[0].islower() and rest[0] not in _ENCLITIC:
                text = text[:-1] + line
            else:
                text = text + line
    return text
