"""What every answer's text goes through: what is not text is dropped, inline markup becomes plain text; all in time linear in its length."""

from __future__ import annotations

import html
import re

LONGEST = 1_000_000
"""Characters of an answer that are looked at; an answer of 32,000 tokens has some 150,000."""

TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)([^<>]*)>")
"""An HTML tag: slash, name, attributes. No character is looked at twice."""

_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]")
_HIDDEN = re.compile(r"<(!--|!doctype(?=[\s>])|(?:script|style|head|svg|template)(?=[\s>/])[^<>]*>)", re.IGNORECASE)
_INLINE_TAGS = frozenset(
    re.findall(
        r"\w+",
        "a abbr b big br center code del div em font i img ins kbd li mark ol p pre q s samp small span strike strong sub sup table tbody td tfoot th "
        "thead tr tt u ul var caption blockquote section article figure figcaption header footer main hr html body h1 h2 h3 h4 h5 h6 col colgroup "
        "input label form button iframe object embed link meta video audio source math",
    )
)
_MATH = re.compile(r"\\\(|\\\[|\$\$?")
_CLOSERS = {"\\(": "\\)", "\\[": "\\]", "$$": "$$", "$": "$"}
_KEPT = re.compile("\ufdd0([0-9]+)\ufdd1")
_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"!\[[^\[\]\n]*\]\([^()\n]*\)", ""),  # a figure: what the model says of it stands on no page
        (r"\[([^\[\]\n]*)\]\((?:https?:|mailto:|www\.|[#/])[^()\s]*\)", r"\1"),
        (r"`([^`\n]+)`", r"\1"),
        (r"\*\*([^*\n]+)\*\*", r"\1"),
        (r"(?<!\w)__([^_\n]+)__(?!\w)", r"\1"),
        (r"(?<![\w*])\*(?=[^\s*])([^*\n]+)(?<=\S)\*(?![\w*])", r"\1"),
        (r"(?<![\w_])_(?=[^\s_])([^_\n]+)(?<=\S)_(?![\w_])", r"\1"),
        (r"~~([^~\n]+)~~", r"\1"),
        (r"\\([!-/:-@\[-`{-~])", r"\1"),
    )
)


class Unparsable(ValueError):
    """An answer that is not of its model's form; the sentence never quotes it."""


def clean(text: str) -> str:
    """The text without control characters, lone surrogates and non-characters. Raises `Unparsable` when it is longer than any page."""
    if len(text) > LONGEST:
        raise Unparsable("the answer is longer than any page")
    return _NO_TEXT.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def visible(text: str) -> str:
    """HTML or Markdown without comments, scripts, styles and heads. Raises `Unparsable` where one of them does not end."""
    out, at, low = list[str](), 0, text.lower()
    while (hidden := _HIDDEN.search(text, at)) is not None:
        out.append(text[at : hidden.start()])
        if hidden.group(1)[:2].lower() == "!d":
            at = low.find(">", hidden.end()) + 1 or len(text)
            continue
        comment = hidden.group(1) == "!--"
        closer = "-->" if comment else f"</{re.split(r'[^a-z]', hidden.group(1).lower(), maxsplit=1)[0]}"
        end = low.find(closer, hidden.end())
        end = end if end < 0 or comment else low.find(">", end)
        if end < 0:
            raise Unparsable("the answer breaks off within a comment or a script")
        at = end + (len(closer) if comment else 1)
    return "".join([*out, text[at:]])


def plain(markup: str) -> str:
    """Inline Markdown and HTML as plain text; LaTeX between its delimiters stays as it is. Raises `Unparsable`."""
    formulae: list[str] = []
    text = _without_math(markup, formulae)
    text = TAG.sub(_tag, text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    text = _KEPT.sub(lambda kept: formulae[int(kept.group(1))], unescaped(text))
    return "\n".join(line for line in (" ".join(line.split()) for line in text.split("\n")) if line)


def unescaped(text: str) -> str:
    """Its entities as characters. Raises `Unparsable` for one that names no character."""
    try:
        return _NO_TEXT.sub(lambda found: found.group() if found.group() in "\ufdd0\ufdd1" else "", html.unescape(text))
    except ValueError:  # a number of thousands of digits
        raise Unparsable("the answer has an entity that is no character") from None


def _tag(tag: re.Match[str]) -> str:
    name, attributes = tag.group(2).lower(), tag.group(3).strip()
    if name not in _INLINE_TAGS or (attributes not in {"", "/"} and "=" not in attributes):
        return tag.group()  # "if a <b and c> d" is no markup
    return "\n" if name in {"br", "p", "div", "li", "hr"} else ""


def _without_math(text: str, formulae: list[str]) -> str:
    out, at, absent = list[str](), 0, set[str]()
    while (opener := _MATH.search(text, at)) is not None:
        closer = _CLOSERS[opener.group()]
        end = -1 if closer in absent else text.find(closer, opener.end())
        if end < 0:
            absent.add(closer)
        inside = text[opener.end() : end] if end >= 0 else ""
        # One dollar sign is money unless it hugs what follows, and the next one what precedes it.
        money = opener.group() == "$" and (inside != inside.strip() or "\n" in inside or text[end + 1 : end + 2].isdigit())
        if end < 0 or money or not inside:
            out.append(text[at : opener.end()])
            at = opener.end()
            continue
        out += [text[at : opener.start()], f"\ufdd0{len(formulae)}\ufdd1"]
        formulae.append(text[opener.start() : end + len(closer)])
        at = end + len(closer)
    return "".join([*out, text[at:]])
