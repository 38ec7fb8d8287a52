"""What is told beneath the table of a run about pages that stay DEGRADED."""

from __future__ import annotations

from pathlib import Path

import pytest

from escriba.cli.outcome import Result, _shortcomings
from escriba.ledger import PagesRow


def result(name: str, *reasons: str) -> Result:
    rows = tuple(
        PagesRow(first=number, last=number, state="DEGRADED", reason=reason, route="ocr", object_key="k", offset=0)
        for number, reason in enumerate(reasons, 1)
    )
    return Result(Path("scans") / name, "DONE", "", None, rows, None)


@pytest.mark.parametrize(
    ("one", "another", "told"),
    [
        ("low confidence (0.41)", "low confidence (0.52)", "low confidence"),
        ("the endpoint is left alone for 10 s", "the endpoint is left alone for 9 s", "the endpoint is left alone"),
        ("the endpoint failed (HTTP 500)", "the endpoint failed (HTTP 500)", "the endpoint failed (HTTP 500)"),
        ("cannot be reached (is its server running?)",) * 2 + ("cannot be reached (is its server running?)",),
    ],
)
def test_one_line_a_reason(one: str, another: str, told: str) -> None:
    """Measurements differ from page to page and are left out; a server's status is kept, for it says what to mend."""
    assert list(_shortcomings([result("a.png", one), result("b.png", another)])) == [f"2 pages DEGRADED in a.png, b.png: {told}"]


def test_the_documents_are_named_as_far_as_a_line_goes() -> None:
    """Each once, the first of them by name; the pages are counted all the same."""
    results = [result(f"{letter}.png", "blank", "blank") for letter in "abcde"]
    assert list(_shortcomings(results)) == ["10 pages DEGRADED in a.png, b.png, c.png and 2 more: blank"]
