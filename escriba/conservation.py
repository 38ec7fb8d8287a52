"""The law of the house: pages in = done + degraded + quarantined + waiting, at every moment; pure."""

from __future__ import annotations

from collections.abc import Sequence

from escriba.ledger import DocumentRow, PagesRow


def conservation_violation(document: DocumentRow, rows: Sequence[PagesRow]) -> str:
    """Empty when every page is accounted for exactly once, otherwise one sentence."""
    if document.state in {"RECEIVED", "REJECTED"}:
        return ""
    counted: dict[str, int] = {"WAITING": 0, "DONE": 0, "DEGRADED": 0, "QUARANTINED": 0}
    expected = 1
    for row in sorted(rows, key=lambda r: r.first):
        if row.first != expected:
            return f"pages {expected} to {row.first - 1} have no row or more than one"
        expected = row.last + 1
        counted[row.state] += row.pages
    if expected != document.total + 1:
        return f"rows end at page {expected - 1} of {document.total}"
    kept = {"WAITING": document.waiting, "DONE": document.done, "DEGRADED": document.degraded, "QUARANTINED": document.quarantined}
    return "" if kept == counted else f"the document counts {kept}, its rows {counted}"
