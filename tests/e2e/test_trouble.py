"""What an operator finds after a local run that did not go well, and what the commands say of it: real processes, the embedded AWS."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.documents import EXAMPLES, FAIL, HANG, orders_pdf, text_pdf
from tests.e2e.test_run import escriba, obedient

# Each command is a process of its own that starts an embedded AWS, several in each test.
pytestmark = pytest.mark.timeout(300)


@contextmanager
def at_work(*arguments: object, environ: dict[str, str], until: Path, lines: int) -> Iterator[subprocess.Popen[bytes]]:
    """A command that has had `lines` pages read and is still at it; killed at the end, if it has not been by then."""
    process = subprocess.Popen([sys.executable, "-m", "escriba", *map(str, arguments)], env=os.environ | environ, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (not until.exists() or len(until.read_text().splitlines()) < lines):
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.no_cover
def test_a_killed_run_is_missed_until_everything_is_where_it_belongs(tmp_path: Path) -> None:
    """What was never taken in is named, with the command that takes it in; a redrive writes the folders of what had been read."""
    policy, environ = obedient(tmp_path)
    policy.write_text(policy.read_text().replace("page_seconds = 2", "page_seconds = 60"))  # whatever else the machine does
    # Pages have precedence over uploads: a single worker reads the first before it looks at the others.
    files = [tmp_path / name for name in ("first one.pdf", "second.pdf", "third.pdf")]
    for number, file in enumerate(files):
        file.write_bytes(orders_pdf([0] * (12 if not number else 3 + number)))
    out, log = tmp_path / "out", tmp_path / "log"
    command = ("run", *files, "--policy", policy, "--no-report", "--workers", "1", "--out", out)
    with at_work(*command, environ=environ | {"OBEDIENT_SECONDS": "5"}, until=log, lines=1) as process:
        live = escriba("status", "--out", out)
        assert "a command is at work in this folder" in live.stdout, live.stdout
        assert "was stopped" not in live.stdout
        assert "another run is writing" in escriba("redrive", "--out", out, "--yes").stderr
        process.send_signal(signal.SIGKILL)
        process.wait()
    stopped = escriba("status", "--out", out)
    assert stopped.returncode == 1, stopped.stdout
    assert "a command was stopped" in stopped.stdout
    told = json.loads(escriba("status", "--out", out, "--json").stdout)
    assert told["at_work"] is False
    assert told["given"] == 3
    assert set(told["not_taken_in"]) < {str(file) for file in files}
    assert told["not_taken_in"]
    again = next(line for line in told["to_do"] if line.startswith("escriba run "))
    assert f"'{files[0]}'" in again
    assert again in stopped.stdout

    redriven = escriba("redrive", "--out", out, "--yes", environ=environ)
    assert redriven.returncode == 1, redriven.stdout
    assert "never came in" in redriven.stdout
    assert (out / "first one" / "document.txt").is_file()
    whole = escriba(*shlex.split(again)[1:], environ=environ)
    assert whole.returncode == 0, whole.stderr
    good = escriba("status", "--out", out)
    assert good.returncode == 0, good.stdout
    assert "3 files, all taken in" in good.stdout
    assert len(log.read_text().splitlines()) <= 12 + 4 + 5 + 1


def test_results_that_are_not_in_their_folders_are_written_by_a_redrive(tmp_path: Path) -> None:
    """As a kill while they were copied leaves them: gone, in part, or of an earlier revision; each of two files of the same bytes has its own."""
    for name in ("a.pdf", "b.pdf", "c.pdf", "d.pdf"):
        (tmp_path / name).write_bytes(text_pdf("some text" if name < "c" else f"text {name}"))
    out = tmp_path / "out"
    assert escriba("run", *sorted(tmp_path.glob("?.pdf")), "--no-report", "--out", out).returncode == 0
    whole = {path.relative_to(out): path.read_bytes() for path in out.glob("?/*")}
    shutil.rmtree(out / "a")
    (out / "c" / "document.md").unlink()
    usage = out / "d" / "usage.json"
    usage.write_text(usage.read_text().replace('"revision": 1', '"revision": 0'))
    status = escriba("status", "--out", out)
    assert status.returncode == 1
    assert "finished, and not in their folders: a.pdf, c.pdf, d.pdf" in " ".join(status.stdout.split())
    assert f"escriba redrive --out {out}\n" in status.stdout
    dry = escriba("redrive", "--out", out, "--dry-run")
    assert "3 finished documents are not in their folders" in dry.stdout
    assert not (out / "a").exists()
    redriven = escriba("redrive", "--out", out)
    assert redriven.returncode == 0, redriven.stderr
    assert {path.relative_to(out): path.read_bytes() for path in out.glob("?/*")} == whole
    assert escriba("status", "--out", out).returncode == 0


@pytest.mark.no_cover
def test_raised_limits_have_failed_pages_read_again(tmp_path: Path) -> None:
    """The same command with a mended policy and the same folder: only the failed pages, no more often than a redrive may, and none under the same limits."""
    policy, environ = obedient(tmp_path)
    policy.write_text(policy.read_text().replace("page_seconds = 2", "page_seconds = 5"))
    (tmp_path / "a.pdf").write_bytes(orders_pdf([0, HANG]))
    engine, out, log = tmp_path / "plugins" / "obedient_engine.py", tmp_path / "out", tmp_path / "log"
    engine.write_text(engine.read_text().replace("time.sleep(600)", "time.sleep(8)"))
    command = ("run", tmp_path / "a.pdf", "--policy", policy, "--no-report", "--out", out)
    assert "did not answer within 5 s" in escriba(*command, environ=environ).stdout
    status = escriba("status", "--out", out).stdout
    assert "run the file again with the same --out" in " ".join(status.split())
    log.unlink()
    assert escriba(*command, environ=environ).returncode == 1
    assert not log.exists()
    policy.write_text(policy.read_text().replace("page_seconds = 5", "page_seconds = 60"))
    mended = escriba(*command, environ=environ)
    assert mended.returncode == 0, mended.stdout
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["2"]
    assert (out / "a" / "document.txt").read_text().count("shade-") == 2
    assert escriba("status", "--out", out).returncode == 0


@pytest.mark.no_cover
def test_another_policy_makes_another_reading_and_ends_the_old_ones_troubles(tmp_path: Path) -> None:
    """It says where the new results are; what failed under the old policy is no longer anybody's concern."""
    policy, environ = obedient(tmp_path)
    (tmp_path / "a.pdf").write_bytes(orders_pdf([0, FAIL]))
    out = tmp_path / "out"
    assert escriba("run", tmp_path / "a.pdf", "--policy", policy, "--no-report", "--out", out, environ=environ).returncode == 1
    # A new version of the engine is another reading, as is any setting that changes what comes out.
    engine = tmp_path / "plugins" / "obedient_engine.py"
    engine.write_text(engine.read_text().replace("order = round", "order = 0 and round").replace('version = "1"', 'version = "2"'))
    again = escriba("run", tmp_path / "a.pdf", "--policy", policy, "--no-report", "--out", out, environ=environ)
    assert again.returncode == 0, again.stdout
    assert f"Folders that hold another reading were left as they are: a.pdf is in {out}/a-2." in again.stdout
    status = escriba("status", "--out", out)
    assert status.returncode == 0, status.stdout
    assert "1 older reading replaced since" in " ".join(status.stdout.split())
    assert "Nothing that can be sent again" in escriba("redrive", "--out", out, "--yes").stdout


@pytest.mark.no_cover
def test_a_name_that_is_none_is_not_said_to_be_well(tmp_path: Path) -> None:
    """A redrive of a document that is not there names those that are like it, or all; a stem is as good as a name."""
    (tmp_path / "invoice.pdf").write_bytes(text_pdf("some text on a page"))
    out = tmp_path / "out"
    assert escriba("run", tmp_path / "invoice.pdf", "--no-report", "--out", out).returncode == 0
    near = escriba("redrive", "--out", out, "--document", "invioce.pdf", "--yes")
    assert (near.returncode, "knows no document 'invioce.pdf'; did you mean invoice.pdf?" in near.stderr) == (2, True)
    far = escriba("redrive", "--out", out, "--document", "x.pdf", "--dry-run")
    assert (far.returncode, "it knows invoice.pdf" in far.stderr) == (2, True)
    assert "Nothing that can be sent again" in escriba("redrive", "--out", out, "--document", "invoice", "--yes").stdout
    assert "1 page = 1 done" in escriba("show", "invoice", "--out", out).stdout
    assert "1 page = 1 done" in escriba("status", "invoice", "--out", out).stdout


@pytest.mark.no_cover
def test_a_scan_that_is_cut_off_is_not_done(tmp_path: Path) -> None:
    """MuPDF repairs it and shows a blank page; nothing is sent again, as it would fail again."""
    (tmp_path / "x.pdf").write_bytes((EXAMPLES / "digitalizacao.pdf").read_bytes()[:60_000])
    done = escriba("run", tmp_path / "x.pdf", "--no-report", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "page 1: the PDF is cut off or damaged: nothing is left of this page" in done.stdout
    redriven = escriba("redrive", "--out", tmp_path / "out", "--yes")
    assert "1 failed by their own bytes" in redriven.stdout
    assert "get another file" in escriba("status", "--out", tmp_path / "out").stdout
    shutil.copy(EXAMPLES / "digitalizacao.pdf", tmp_path / "x.pdf")
    assert escriba("run", tmp_path / "x.pdf", "--no-report", "--out", tmp_path / "out").returncode == 0
    assert escriba("status", "--out", tmp_path / "out").returncode == 0
