"""`escriba run` and `escriba show` as a person uses them: real processes, the embedded AWS, real handlers, real engines."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.documents import DIE, EXAMPLES, FAIL, HANG, PRINT, install_obedient, orders_pdf, picture, text_pdf

OUTPUTS = ("document.md", "document.json", "document.txt", "chunks.jsonl")


def escriba(*arguments: object, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "escriba", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env=os.environ | (environ or {}),
    )


def obedient(tmp_path: Path, **environ: str) -> tuple[Path, dict[str, str]]:
    """A policy that has pages read by the obedient engine, and the environment in which it is installed."""
    path = tmp_path / "plugins"
    path.mkdir()
    (path / "obedient_engine.py").touch()
    install_obedient(path)
    policy = tmp_path / "policy.toml"
    policy.write_text('[ocr]\nengine = "obedient"\n[limits]\npage_seconds = 2\n')
    return policy, {"PYTHONPATH": str(path), "OBEDIENT_LOG": str(tmp_path / "log"), **environ}


def test_the_examples_come_out_whole(tmp_path: Path) -> None:
    """Every example ends DONE with its outputs, a table is printed, the report stands, exit status 0."""
    done = escriba("run", EXAMPLES, "--out", tmp_path, "--workers", 2)
    assert done.returncode == 0, done.stderr
    for name in ("report", "digitalizacao", "mixed", "recibo"):
        for output in (*OUTPUTS, "usage.json"):
            assert (tmp_path / name / output).stat().st_size > 20
    # Which of the two reads a scan depends on what Tesseract knows on this machine, and on how sure it is.
    assert sum(map(int, re.findall(r"(?:rapidocr|tesseract) \((\d) page", done.stdout))) == 3
    assert "text_layer (5 pages)" in done.stdout
    assert done.stdout.count("DONE") == 4
    report = (tmp_path / "report.html").read_text()
    assert report.count("data:image/jpeg;base64,") == 8
    assert "São João" in report
    assert "<script" not in report
    shown = escriba("show", "mixed.pdf", "--out", tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "4 pages = 4 done + 0 degraded + 0 quarantined + 0 waiting" in shown.stdout
    assert "rapidocr" in shown.stdout or "tesseract" in shown.stdout


def test_json_names_every_field_and_reason(tmp_path: Path) -> None:
    """One object a document, in the order given; exit status 1 when something was rejected; equal stems get folders of their own."""
    (tmp_path / "b").mkdir()
    one, two, bad = tmp_path / "a.pdf", tmp_path / "b" / "a.pdf", tmp_path / "bad.pdf"
    one.write_bytes(text_pdf("first text on a page", "second"))
    two.write_bytes(text_pdf("another text on a page"))
    bad.write_bytes(b"%PDF-1.7 nothing")
    done = escriba("run", one, two, bad, "--out", tmp_path / "out", "--json", "--no-report", "--workers", 1)
    assert done.returncode == 1, done.stderr
    first, second, third = map(json.loads, done.stdout.splitlines())
    assert set(first) == {"path", "document_id", "state", "reason", "pages", "done", "degraded", "quarantined", "seconds", "output"}
    assert (first["state"], first["pages"], first["done"], first["path"]) == ("DONE", 2, 2, str(one))
    assert first["output"].endswith("/a")
    assert second["output"].endswith("/a-2")
    assert "another" in (Path(second["output"]) / "document.txt").read_text()
    assert (third["state"], third["output"]) == ("REJECTED", None)
    assert "PDF" in third["reason"]
    assert not (tmp_path / "out" / "report.html").exists()


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "nowhere.pdf"], "there is no file or folder nowhere.pdf"),
        (["run", "EMPTY"], "no documents in"),
        (["run", "DOC", "--policy", "nowhere.toml"], "cannot read the policy file nowhere.toml"),
        (["run", "DOC", "--policy", "BAD"], "settings that Escriba does not accept: colour"),
        (["run", "DOC", "--out", "DOC"], "choose another folder with --out"),
        (["run", "DOC", "--languages", "en"], "ISO 639-2 code, which has three letters"),
        (["show", "x", "--out", "EMPTY"], "holds no run"),
        (["run"], "Missing argument"),
    ],
)
def test_each_mistake_gets_one_sentence_and_status_2(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    """What a user can do wrong is told in a sentence with the way out, never in a traceback."""
    document, bad, empty = tmp_path / "a.pdf", tmp_path / "bad.toml", tmp_path / "empty"
    document.write_bytes(text_pdf("text"))
    bad.write_text('colour = "red"')
    empty.mkdir()
    places = {"DOC": str(document), "BAD": str(bad), "EMPTY": str(empty)}
    done = escriba(*(places.get(argument, argument) for argument in arguments))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.no_cover
def test_a_run_killed_at_page_50_of_100_goes_on_where_it_was(tmp_path: Path) -> None:
    """SIGKILL at page 50, then the same command: 100 engine calls and those that were in flight, outputs as if nothing had been."""
    policy, environ = obedient(tmp_path, OBEDIENT_SECONDS="0.01")
    document, log = tmp_path / "a.pdf", tmp_path / "log"
    document.write_bytes(orders_pdf([0] * 100))
    command = ["run", document, "--policy", policy, "--no-report", "--json", "--workers", "2", "--out"]
    clean = escriba(*command, tmp_path / "clean", environ=environ)
    assert clean.returncode == 0, clean.stderr
    assert len(log.read_text().splitlines()) == 100
    log.unlink()
    process = subprocess.Popen(
        [sys.executable, "-m", "escriba", *map(str, command), str(tmp_path / "out")], env=os.environ | environ, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not log.exists() or len(log.read_text().splitlines()) < 50):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(log.read_text().splitlines())
    assert 50 <= before < 100
    again = escriba(*command, tmp_path / "out", environ=environ)
    assert again.returncode == 0, again.stderr
    calls = [line.split()[0] for line in log.read_text().splitlines()]
    assert len(calls) <= 100 + 2 + 1  # two workers' pages in flight, and one whose row was not yet on disk
    assert set(calls) == {str(n) for n in range(1, 101)}
    for name in OUTPUTS:
        assert (tmp_path / "out" / "a" / name).read_bytes() == (tmp_path / "clean" / "a" / name).read_bytes()
    shown = escriba("show", "a", "--out", tmp_path / "out", environ=environ)
    assert "100 pages = 100 done" in shown.stdout


def test_pages_that_kill_hang_or_fail_their_reader_are_named(tmp_path: Path) -> None:
    """The rest is delivered, PARTIAL names the pages, the ledger says why; no text of the document is told anywhere."""
    policy, environ = obedient(tmp_path)
    document = tmp_path / "a.pdf"
    document.write_bytes(orders_pdf([0, DIE, PRINT, HANG, FAIL, 0]))
    done = escriba("run", document, "--policy", policy, "--no-report", "--out", tmp_path / "out", "--workers", 2, environ=environ)
    assert done.returncode == 1
    assert "PARTIAL" in done.stdout
    assert "page 2: the reader's process was killed by signal 9 (SIGKILL)" in done.stdout
    assert "page 4: the reader did not answer within 2 s and was stopped" in done.stdout
    assert "page 5: the reader failed inside (ValueError)" in done.stdout
    text = (tmp_path / "out" / "a" / "document.md").read_text()
    assert [f"shade-{n}" in text for n in range(1, 7)] == [True, False, True, False, False, True]
    assert text.count("could not be read") == 3
    calls = [line.split()[0] for line in (tmp_path / "log").read_text().splitlines()]
    assert [calls.count(str(n)) for n in range(1, 7)] == [1, 3, 1, 2, 3, 1]
    telemetry = (tmp_path / "out" / ".escriba" / "telemetry.jsonl").read_text()
    assert '"PagesQuarantined":[1.0]' in telemetry
    assert "secret" not in telemetry + done.stdout + done.stderr
    shown = escriba("show", "a.pdf", "--out", tmp_path / "out", environ=environ)
    assert "6 pages = 3 done + 0 degraded + 3 quarantined + 0 waiting" in shown.stdout


@pytest.mark.no_cover
def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """SIGINT lets the pages in hand finish and says how to go on; nothing is read twice."""
    policy, environ = obedient(tmp_path, OBEDIENT_SECONDS="0.1")
    document, log = tmp_path / "a.pdf", tmp_path / "log"
    document.write_bytes(orders_pdf([0] * 40))
    command = [
        sys.executable,
        "-m",
        "escriba",
        "run",
        str(document),
        "--policy",
        str(policy),
        "--no-report",
        "--workers",
        "2",
        "--out",
        str(tmp_path / "out"),
    ]
    process = subprocess.Popen(command, env=os.environ | environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not log.exists() or len(log.read_text().splitlines()) < 6):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to go on" in errors
    assert "Traceback" not in errors
    again = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 0, again.stderr
    assert len(log.read_text().splitlines()) == 40


def test_the_same_bytes_in_two_files_are_read_once(tmp_path: Path) -> None:
    """Two names, one reading, two folders of results."""
    policy, environ = obedient(tmp_path)
    content = orders_pdf([0, 0, 0])
    for name in ("a.pdf", "b.pdf"):
        (tmp_path / name).write_bytes(content)
    done = escriba(
        "run", tmp_path / "a.pdf", tmp_path / "b.pdf", "--policy", policy, "--no-report", "--out", tmp_path / "out", environ=environ
    )
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "log").read_text().splitlines()) == 3
    assert (tmp_path / "out" / "a" / "document.json").read_bytes() == (tmp_path / "out" / "b" / "document.json").read_bytes()


@pytest.mark.no_cover
def test_every_accepted_kind_is_known_by_its_content(tmp_path: Path) -> None:
    """PNG, JPEG and a TIFF of two pictures under wrong names are read; text under a PDF's name is rejected with a reason."""
    from PIL import Image

    (tmp_path / "png.jpg").write_bytes(picture("alpha beta", "PNG"))
    (tmp_path / "jpeg.bin").write_bytes(picture("gamma delta", "JPEG"))
    frames = [Image.new("L", (300, 100), 255), Image.new("L", (300, 100), 255)]
    frames[0].save(tmp_path / "tiff.dat", "TIFF", save_all=True, append_images=frames[1:])
    (tmp_path / "text.pdf").write_text("just text")
    files = [tmp_path / name for name in ("png.jpg", "jpeg.bin", "tiff.dat", "text.pdf")]
    done = escriba("run", *files, "--json", "--no-report", "--out", tmp_path / "out")
    png, jpeg, tiff, text = map(json.loads, done.stdout.splitlines())
    assert [r["state"] for r in (png, jpeg, tiff, text)] == ["DONE", "DONE", "DONE", "REJECTED"]
    assert tiff["pages"] == 2
    assert "plain text" in text["reason"]
    assert "alpha beta" in (tmp_path / "out" / "png" / "document.txt").read_text()
    assert "gamma delta" in (tmp_path / "out" / "jpeg" / "document.txt").read_text()


@pytest.mark.no_cover
def test_a_raised_limit_lets_a_rejected_document_in(tmp_path: Path) -> None:
    """The sentence says to raise the limit; raised, the same command with the same folder reads the document."""
    document, policy = tmp_path / "a.pdf", tmp_path / "policy.toml"
    document.write_bytes(text_pdf("one", "two"))
    policy.write_text("[limits]\nmax_pages = 1\n")
    command = ("run", document, "--policy", policy, "--out", tmp_path / "out", "--no-report")
    assert "more than the policy's limits.max_pages = 1; raise it there" in escriba(*command).stdout
    policy.write_text("[limits]\nmax_pages = 2\n")
    assert escriba(*command).returncode == 0


@pytest.mark.no_cover
def test_another_document_of_the_same_name_keeps_its_hands_off_earlier_results(tmp_path: Path) -> None:
    """A later run with the same folder and name writes beside, and a repeated one to where it was."""
    document = tmp_path / "a.pdf"
    first, second = text_pdf("first"), text_pdf("second")
    for content in (first, second, first):
        document.write_bytes(content)
        assert escriba("run", document, "--out", tmp_path / "out", "--no-report").returncode == 0
    assert [(tmp_path / "out" / name / "document.txt").read_text().strip() for name in ("a", "a-2")] == ["first", "second"]
    assert not (tmp_path / "out" / "a-3").exists()


@pytest.mark.no_cover
def test_many_more_workers_than_cores_do_no_harm(tmp_path: Path) -> None:
    """Idle workers wait; they do not wake each other up for ever."""
    done = escriba("run", EXAMPLES / "report.pdf", "--out", tmp_path, "--no-report", "--workers", 32)
    assert done.returncode == 0, done.stderr


@pytest.mark.no_cover
def test_odd_names_and_broken_state_get_a_sentence(tmp_path: Path) -> None:
    """A name that is no text is read; a damaged journal is named with the way out; neither shows a traceback."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.pdf"))
    odd.write_bytes(text_pdf("words"))
    assert escriba("run", tmp_path, "--out", tmp_path / "out", "--no-report", environ={"PYTHONIOENCODING": "ascii"}).returncode == 0
    (tmp_path / "out" / ".escriba" / "journal.sqlite").write_bytes(b"no database" * 100)
    done = escriba("show", "bad", "--out", tmp_path / "out")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "choose another folder with --out" in done.stderr
