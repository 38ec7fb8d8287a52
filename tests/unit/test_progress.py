"""The progress line says where a run stands, and stays away where nobody looks."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from escriba.cli.outcome import _lost
from escriba.cli.progress import Progress, _duration
from escriba.cli.reading import claimed
from escriba.errors import ConfigurationError
from escriba.ledger import PagesRow
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


def test_where_there_is_no_terminal_a_line_comes_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A log of a long run says where it stands and what it does, and is silent once it is over."""
    monkeypatch.setattr("escriba.cli.progress._REMIND", 0.05)
    with Progress(quiet=False) as progress:
        progress.on_row(row("1-50", "text_layer", "DONE"))
        progress.phase = "drawing the report"
        time.sleep(0.3)
    said = capsys.readouterr().err
    assert "escriba: 50/50 pages" in said
    assert "drawing the report" in said
    time.sleep(0.15)
    assert capsys.readouterr().err.count("escriba") <= 1


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    """The second is told so before it touches anything; once the first is over the folder is free."""
    with claimed(tmp_path), pytest.raises(ConfigurationError, match="another run is writing to"), claimed(tmp_path):
        pass
    with claimed(tmp_path):
        pass


def test_a_reason_shared_by_many_pages_is_said_once() -> None:
    """With all its pages."""
    rows = [
        PagesRow(first=n, last=m, route="ocr", state=state, reason=reason, generation=1, object_key="k", offset=0)
        for n, m, state, reason in (
            (1, 1, "QUARANTINED", "broken"), (2, 2, "DONE", ""), (3, 5, "QUARANTINED", "broken"), (6, 6, "QUARANTINED", "slow"),
        )
    ]  # fmt: skip
    assert _lost(tuple(rows)) == "pages 1, 3-5: broken; page 6: slow"
