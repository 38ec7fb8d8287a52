"""Two readers side by side as one HTML file that needs nothing else: the page's picture, its truth, both texts, wrong words marked."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

import msgspec

from escriba.evaluation.comparison import Comparison

_STYLE = """
:root { --ink: #1c2430; --line: #dfe3e8; --paper: #fff; --back: #f4f5f7; --wrong: #ffd7d5; --lacking: #57606a }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
header, section { max-width: 1680px; margin: 1.2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 } .counts { color: #57606a; margin: .3rem 0 }
article { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; margin: 1rem 0; overflow: hidden }
article > h2 { font-size: 1rem; margin: 0; padding: .6rem 1rem; border-bottom: 1px solid var(--line); display: flex; flex-wrap: wrap; gap: .3rem .8rem }
article > h2 small { font-weight: normal; color: #57606a }
.texts { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)) } .texts.bare { grid-template-columns: repeat(3, minmax(0, 1fr)) }
.texts > div { padding: .8rem 1rem; overflow: auto; max-height: 44rem } .texts > div + div { border-left: 1px solid var(--line) }
h3 { font-size: .85rem; margin: 0 0 .5rem; color: #57606a; font-weight: 600 }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.45 ui-monospace, monospace }
img { max-width: 100%; box-sizing: border-box; display: block; border: 1px solid var(--line) }
mark { background: var(--wrong); color: inherit; border-radius: 2px } del { color: var(--lacking); opacity: .75 }
table { border-collapse: collapse; background: var(--paper) } td, th { border: 1px solid var(--line); padding: .2rem .7rem; text-align: right }
td:first-child, th:first-child { text-align: left } .p { color: #57606a }
@media (max-width: 1000px) { .texts, .texts.bare { grid-template-columns: 1fr } .texts > div + div { border-left: 0; border-top: 1px solid var(--line) } }
"""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One document to show. `figures` says what the readers scored; the three texts are safe HTML; `picture` is a JPEG, None without one."""

    name: str
    figures: str
    truth: str
    a: str
    b: str
    picture: bytes | None = None


def comparison_html(comparison: Comparison, figures: Sequence[Sequence[str]], documents: Sequence[Shown], different: int) -> str:
    """The page: a table of `figures` (its head first), then the documents in the order given, of `different` that differ."""
    a, b = html.escape(comparison.a), html.escape(comparison.b)
    shown = f"{len(documents)} of the {different} that they read differently, the largest difference first."
    head, *rows = figures
    table = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    titles = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        # The text comes from strangers' documents: should any of it slip through as markup, nothing may run or load.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{a} and {b}</title><style>{_STYLE}</style></head><body>"
        f'<header><h1>{a} and {b}</h1><p class="counts">{comparison.documents} documents in common; {shown} '
        "<mark>Marked</mark> words are not in the truth, <del>struck</del> ones are missing.</p>"
        f'<table><tr>{titles}</tr>{table}</table><p class="counts">Difference: {a} less {b}, mean over pages; '
        f"interval: bootstrap over documents; p: {html.escape(comparison.test)}.</p></header>"
        f"<section>{''.join(_article(document, comparison) for document in documents)}</section></body></html>\n"
    )


def _article(document: Shown, comparison: Comparison) -> str:
    picture = ""
    if document.picture is not None:
        data = base64.b64encode(document.picture).decode()
        picture = f'<div><img alt="{html.escape(document.name)}" src="data:image/jpeg;base64,{data}"></div>'
    columns = (("truth", document.truth), (comparison.a, document.a), (comparison.b, document.b))
    texts = "".join(f"<div><h3>{html.escape(title)}</h3><pre>{text}</pre></div>" for title, text in columns)
    title = f"<h2>{html.escape(document.name)} <small>{html.escape(document.figures)}</small></h2>"
    return f'<article>{title}<div class="texts{"" if picture else " bare"}">{picture}{texts}</div></article>'
