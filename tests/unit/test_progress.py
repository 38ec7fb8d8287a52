"""The progress line says where a run stands, and stays away where nobody looks."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from escriba.cli.progress import Progress, _duration
from tests.documents import EXAMPLES


def row(pages: str, route: str, state: str, **more: object) -> dict[str, dict[str, str]]:
    first, last = pages.split("-")
    return {
        "pk": {"S": "DOC#1"},
        "sk": {"S": f"PAGES#{pages}"},
        "first": {"N": first},
        "last": {"N": last},
        "route": {"S": route},
        "state": {"S": state},
    } | more  # type: ignore[operator]


def test_pages_are_counted_by_route_and_state() -> None:
    """Packed rows count for all their pages; a row that was taken apart counts no more."""
    progress = Progress(quiet=True)
    progress.on_row({"pk": {"S": "DOC#1"}, "sk": {"S": "DOC"}, "state": {"S": "READING"}})
    progress.on_row(row("1-50", "text_layer", "DONE"))
    progress.on_row(row("51-51", "ocr", "WAITING"))
    progress.on_row(row("52-60", "text_layer", "WAITING"))
    assert progress.line().startswith("50/60 pages  text layer 50  OCR 0  0/1 documents")
    progress.on_row(row("51-51", "ocr", "QUARANTINED"))
    progress.on_row(row("52-60", "text_layer", "WAITING", unpacked={"BOOL": True}))
    progress.on_row({"pk": {"S": "DOC#1"}, "sk": {"S": "DOC"}, "state": {"S": "PARTIAL"}})
    assert progress.line().startswith("51/51 pages  text layer 50  OCR 1  1/1 documents")


def test_durations_are_read_by_people() -> None:
    """Seconds, then minutes and seconds."""
    assert [_duration(seconds) for seconds in (4.4, 60, 125)] == ["4 s", "1 min 00 s", "2 min 05 s"]


def test_a_terminal_shows_it(tmp_path: Path) -> None:
    """On a terminal the line is drawn while the run lasts."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "escriba", "run", str(EXAMPLES / "report.pdf"), "--out", str(tmp_path), "--no-report"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env=os.environ | {"TERM": "xterm", "COLUMNS": "120"})
    os.close(theirs)
    seen = b""
    while True:
        try:
            seen += os.read(ours, 4096)
        except OSError:
            break
    os.close(ours)
    assert process.wait() == 0
    assert b"pages  text layer" in seen
