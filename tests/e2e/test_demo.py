"""`make demo-break` tells a story that is so, and would say when it is not."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from escriba.memory.ledger import MemoryLedger
from tests.documents import EXAMPLES

DEMO = EXAMPLES / "demo_break.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_break", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.no_cover
def test_the_story_is_so(tmp_path: Path) -> None:
    """49 pages stand before page 50 dies, none of the 99 is read again, the page comes back; lines fit a terminal."""
    done = subprocess.run([sys.executable, DEMO], cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for sentence in (
        "49 pages are done, and stand in the ledger",
        "100 pages = 99 done + 0 degraded + 1 quarantined + 0 waiting",
        "PARTIAL, revision 1",
        "*Page 50 could not be read: the reader's process was killed by signal 9 (SIGKILL).*",
        "The alarm pages-quarantined is RED",
        "99 readings for the other 99 pages, 3 for page 50",
        "DONE, revision 2. On page 50 stands: Delivery note 1050",
        "100 pages = 100 done + 0 degraded + 0 quarantined + 0 waiting",
        "pages-quarantined is green again. Readings of the other 99 pages, first to last: 99",
    ):
        assert sentence in done.stdout
    assert "NOT SO" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110


def test_a_page_that_is_read_again_is_noticed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A ledger that forgets one page once has it read twice: the story says so, and ends with 1."""
    demo = load()
    monkeypatch.setattr(demo, "PAGES", 12)
    monkeypatch.setattr(demo, "POISON", 6)
    whole, forgotten = MemoryLedger.complete, []

    def complete(self: MemoryLedger, document_id: str, outcomes: list) -> object:  # type: ignore[type-arg]
        if outcomes[0].first == 3 and not forgotten:
            forgotten.append(outcomes)
            raise RuntimeError
        return whole(self, document_id, outcomes)

    monkeypatch.setattr(MemoryLedger, "complete", complete)
    assert demo.main() == 1
    told = capsys.readouterr().out
    assert "NOT SO  no other page was read twice" in told
    assert "12 readings for the other 11 pages" in told
