"""`escriba redrive` and `escriba status` on a local run, as a person uses them: real processes, the embedded AWS."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from escriba.alarms import ALARMS
from escriba.cli.alarm_states import LOCAL
from tests.documents import DIE, FAIL, orders_pdf, text_pdf
from tests.e2e.test_run import escriba, obedient


def mend(tmp_path: Path) -> None:
    """A new version of the engine, which reads what the old one died of."""
    engine = tmp_path / "plugins" / "obedient_engine.py"
    engine.write_text(engine.read_text().replace("order = round", "order = 0 and round"))


@pytest.mark.no_cover
@pytest.mark.timeout(180)
def test_what_failed_is_read_again_once_its_cause_is_gone(tmp_path: Path) -> None:
    """Only the failed pages, into every folder that holds the document, and what a person sees on the way."""
    policy, environ = obedient(tmp_path)
    (tmp_path / "a.pdf").write_bytes(orders_pdf([0, DIE, FAIL, 0]))
    shutil.copy(tmp_path / "a.pdf", tmp_path / "b.pdf")
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.7 nothing")
    out, log = tmp_path / "out", tmp_path / "log"
    files = [tmp_path / name for name in ("a.pdf", "b.pdf", "bad.pdf")]
    escriba("run", *files, "--policy", policy, "--out", out, environ=environ)
    status = escriba("status", "--out", out)
    assert status.returncode == 1, status.stderr
    for sentence in (
        "documents  1 PARTIAL  1 REJECTED",
        "pages      4 = 2 done + 0 degraded + 2 quarantined + 0 waiting",
        "conserved: counted again for 2 documents",
        "1 page: the reader's process was killed by signal 9 (SIGKILL)",
        "[hopeless]",
        "RED pages-quarantined since",
        f"{len(ALARMS) - len(LOCAL)} others look at what AWS measures",
        f"escriba redrive --out {out} --dry-run",
    ):
        assert sentence in status.stdout
    assert max(len(line) for line in status.stdout.splitlines() if "escriba redrive" not in line) <= 80

    log.unlink()
    dry = escriba("redrive", "--out", out, "--dry-run", environ=environ)
    assert (dry.returncode, log.exists()) == (0, False)
    assert "2 pages" in dry.stdout
    assert "1 failed by their own bytes" in dry.stdout
    assert "USD" in dry.stdout
    unasked = escriba("redrive", "--out", out, environ=environ)
    assert (unasked.returncode, log.exists()) == (2, False)
    assert "add --yes" in unasked.stderr

    mend(tmp_path)
    part = escriba("redrive", "--out", out, "--reason", "SIGKILL", "--document", "a.pdf", "--since", "1h", "--yes", environ=environ)
    assert part.returncode == 1, part.stderr
    assert "page 3: the reader failed inside (ValueError)" in part.stdout
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["2"]
    rest = escriba("redrive", "--out", out, "--yes", environ=environ)
    assert rest.returncode == 0, rest.stderr
    assert "DONE" in rest.stdout
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["2", "3"]
    assert [(out / name / "document.txt").read_text().count("shade-") for name in ("a", "b")] == [4, 4]
    assert not (out / "a-2").exists()
    assert "shade-2" in (out / "report.html").read_text()
    told = json.loads(escriba("status", "--out", out, "--json").stdout)
    assert told["documents"] == {"DONE": 1, "REJECTED": 1}
    assert [failed["verdict"] for failed in told["failed"]] == ["hopeless"]
    assert "Nothing that can be sent again" in escriba("redrive", "--out", out, "--yes").stdout


@pytest.mark.no_cover
def test_an_interrupted_redrive_goes_on(tmp_path: Path) -> None:
    """What a killed one had sent waits in the ledger: status says so, and the same command again reads it."""
    policy, environ = obedient(tmp_path)
    (tmp_path / "a.pdf").write_bytes(orders_pdf([0, DIE]))
    out = tmp_path / "out"
    escriba("run", tmp_path / "a.pdf", "--policy", policy, "--no-report", "--out", out, environ=environ)
    mend(tmp_path)
    killed = escriba("redrive", "--out", out, "--yes", environ=environ)
    assert killed.returncode == 0
    # As the kill would have left it: sent, and not read.
    with sqlite3.connect(out / ".escriba" / "journal.sqlite") as journal:
        for pk, sk, text in journal.execute("SELECT pk, sk, item FROM items").fetchall():
            item = json.loads(text)
            if sk.startswith("PAGES#") and item["first"]["N"] == "2":
                item |= {"state": {"S": "WAITING"}, "result_key": {"S": ""}}
            elif sk == "DOC":
                item |= {"state": {"S": "READING"}, "current": {"N": "1"}, "started": {"N": "1"}}
            journal.execute("UPDATE items SET item = ? WHERE pk = ? AND sk = ?", (json.dumps(item), pk, sk))
    status = escriba("status", "--out", out)
    assert status.returncode == 1
    assert "1 waiting" in status.stdout
    assert "a command was stopped" in status.stdout
    again = escriba("redrive", "--out", out, "--yes", environ=environ)
    assert again.returncode == 0, again.stderr
    assert "Going on with 1 document " in again.stdout
    assert (out / "a" / "document.txt").read_text().count("shade-") == 2


def test_a_good_run_needs_nothing(tmp_path: Path) -> None:
    """Everything is green and adds up, exit status 0; a folder without a run is named."""
    (tmp_path / "a.pdf").write_bytes(text_pdf("some text on a page"))
    assert escriba("run", tmp_path / "a.pdf", "--no-report", "--out", tmp_path / "out").returncode == 0
    told = escriba("status", "--out", tmp_path / "out")
    assert told.returncode == 0, told.stdout
    assert "0 red" in told.stdout
    assert "to do      nothing" in told.stdout
    assert '"ConservationViolations":[0]' in (tmp_path / "out" / ".escriba" / "telemetry.jsonl").read_text().replace("0.0", "0")
    for command in ("status", "redrive"):
        nowhere = escriba(command, "--out", tmp_path / "nowhere")
        assert nowhere.returncode == 2
        assert "holds no run" in nowhere.stderr
