"""The report of a run as one HTML file that needs nothing else: pictures inside, no script, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

import msgspec
from markdown_it import MarkdownIt

from escriba.document import Page
from escriba.formats.markdown import page_markdown

_STYLE = """
:root { --ink: #1c2430; --line: #dfe3e8; --paper: #fff; --back: #f4f5f7; --bad: #b3261e; --fair: #9a6700; --good: #1a7f37 }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
header, section { max-width: 1280px; margin: 1.2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 } .counts { color: #57606a }
article { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; margin: 1rem 0; overflow: hidden }
article > h2 { font-size: 1rem; margin: 0; padding: .6rem 1rem; border-bottom: 1px solid var(--line); display: flex; flex-wrap: wrap; gap: .8rem }
article > h2 small { font-weight: normal; color: #57606a }
.pair { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) }
.pair > div { padding: 1rem; overflow: auto; max-height: 60rem }
.pair > div + div { border-left: 1px solid var(--line) }
img { max-width: 100%; box-sizing: border-box; display: block; border: 1px solid var(--line) }
.text h1 { font-size: 1.3rem } .text h2 { font-size: 1.15rem } .text h3, .text h4, .text h5, .text h6 { font-size: 1rem }
.text table { border-collapse: collapse; margin: .6rem 0 } .text td, .text th { border: 1px solid #b8c0cc; padding: .2rem .5rem; vertical-align: top }
.DONE { color: var(--good) } .DEGRADED { color: var(--fair) } .QUARANTINED, .REJECTED { color: var(--bad) }
@media (max-width: 800px) { .pair { grid-template-columns: 1fr } .pair > div + div { border-left: 0; border-top: 1px solid var(--line) } }
"""


class ReportPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a document of this name; `picture` is a JPEG, None where it has none."""

    document: str
    page: Page
    picture: bytes | None = None


def report_html(pages: Sequence[ReportPage], rejected: Sequence[tuple[str, str]]) -> str:
    """The report: rejected documents `(name, reason)` first, then the pages in the order given."""
    counts = {state: sum(entry.page.state == state for entry in pages) for state in ("DONE", "DEGRADED", "QUARANTINED")}
    summary = ", ".join(f"{number} {state.lower()}" for state, number in counts.items() if number)
    pictured = sum(entry.picture is not None for entry in pages)
    order = f"Worst first; {pictured} with their picture." if pages else ""
    markdown = MarkdownIt("commonmark", {"html": True})
    body = "".join(_rejected(name, reason) for name, reason in rejected) + "".join(_article(entry, markdown) for entry in pages)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        # The text comes from strangers' documents: should any of it slip through as markup, nothing may run or load.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>Escriba report</title><style>{_STYLE}</style></head><body>"
        f'<header><h1>Escriba report</h1><p class="counts">{len(pages)} pages: {summary or "none"}; {len(rejected)} documents rejected. {order}</p></header>'
        f"<section>{body}</section></body></html>\n"
    )


def _rejected(name: str, reason: str) -> str:
    return f'<article><h2>{html.escape(name)} <span class="REJECTED">REJECTED</span> <small>{html.escape(reason)}</small></h2></article>'


def _article(entry: ReportPage, markdown: MarkdownIt) -> str:
    page = entry.page
    facts = [f"route {page.route}", f"engine {page.engine or 'none'}"]
    if page.confidence is not None:
        facts.append(f"confidence {page.confidence:.3f}")
    if page.reason:
        facts.append(page.reason)
    title = (
        f'<h2>{html.escape(entry.document)}, page {page.number} <span class="{page.state}">{page.state}</span> '
        f"<small>{html.escape(' · '.join(facts))}</small></h2>"
    )
    text = f'<div class="text">{markdown.render(page_markdown(page))}</div>'
    if entry.picture is None:
        return f'<article>{title}<div class="pair" style="grid-template-columns: 1fr">{text}</div></article>'
    data = base64.b64encode(entry.picture).decode()
    alt = html.escape(f"{entry.document}, page {page.number}")
    return f'<article>{title}<div class="pair"><div><img alt="{alt}" src="data:image/jpeg;base64,{data}"></div>{text}</div></article>'
