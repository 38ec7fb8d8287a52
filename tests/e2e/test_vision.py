"""`escriba run --vision` as a person uses it: a real process, real handlers, real sockets, and servers that are gone, hang, fail or lie."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.documents import DATA, EXAMPLES, scribbles
from tests.engines.fake_ollama import fake_ollama
from tests.engines.fake_server import Fails, Hangs, Says, fake
from tests.engines.servers import KEY, free_port, llamacpp

GONE = "http://127.0.0.1:9/v1"
HANDWRITTEN = DATA / "scans" / "hooker_JDH_2_16_66_001.jpg"


def run(out: Path, *arguments: object, key: str = "", table: bool = False) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "OLLAMA_HOST"} | ({"ESCRIBA_VISION_KEY": key} if key else {})
    command = [sys.executable, "-m", "escriba", "run", *map(str, arguments), "--out", str(out), "--no-report", "--workers", "1"]
    command += [] if table else ["--json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=170, check=False, env=environ)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one page that CPU OCR reads well, and two that it cannot read."""
    folder = tmp_path_factory.mktemp("papers")
    (folder / "recibo.jpg").write_bytes((EXAMPLES / "recibo.jpg").read_bytes())
    for seed in (1, 2):
        (folder / f"hand-{seed}.png").write_bytes(scribbles(seed))
    return folder


def pages(out: Path) -> dict[str, dict[str, Any]]:
    """The one page of each document, from document.json."""
    return {path.parent.name: json.loads(path.read_text())["pages"][0] for path in out.glob("*/document.json")}


def waits(out: Path) -> list[float]:
    """Seconds that each escalated page waited, from the run's own log."""
    lines = map(json.loads, (out / ".escriba" / "telemetry.jsonl").read_text().splitlines())
    return [line["seconds"] for line in lines if line.get("message") == "escalated page ended"]


def assert_cpu_stands(out: Path, told: str) -> None:
    """Every page DONE or DEGRADED, the hard ones with the reason, none of them with words of a model's."""
    found = pages(out)
    assert {page["state"] for page in found.values()} == {"DONE", "DEGRADED"}
    assert found["recibo"]["state"] == "DONE"
    for name in ("hand-1", "hand-2"):
        assert found[name]["state"] == "DEGRADED"
        assert told in found[name]["reason"]
        assert found[name]["route"] == "ocr"


def test_without_a_backend(tmp_path: Path, papers: Path) -> None:
    """Nothing waits for anybody."""
    done = run(tmp_path, papers)
    assert done.returncode == 0, done.stderr
    assert_cpu_stands(tmp_path, "no vision backend")
    assert waits(tmp_path) == []


@pytest.mark.no_cover
def test_with_a_dead_one(tmp_path: Path, papers: Path) -> None:
    """It is said at the beginning, and the run goes on."""
    done = run(tmp_path, papers, "--vision", GONE)
    assert done.returncode == 0, done.stderr
    assert "cannot be reached (is its server running?); hard pages keep their CPU reading" in done.stderr
    assert_cpu_stands(tmp_path, "no vision reading")
    assert len(waits(tmp_path)) == 2
    assert max(waits(tmp_path)) < 120


@pytest.mark.no_cover
def test_with_one_that_hangs(tmp_path: Path, papers: Path) -> None:
    """The policy's deadline holds, counted from the page's escalation."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[vision]\ndeadline_seconds = 8\n")
    with fake(everywhere=Hangs()) as server:
        began = time.monotonic()
        done = run(tmp_path / "out", papers, "--vision", server.base_url, "--model", "generic", "--policy", policy)
        assert done.returncode == 0, done.stderr
    assert_cpu_stands(tmp_path / "out", "")
    assert max(waits(tmp_path / "out")) < 12
    assert time.monotonic() - began < 120


@pytest.mark.no_cover
def test_with_one_that_fails(tmp_path: Path, papers: Path) -> None:
    """HTTP 500 to everything."""
    with fake(everywhere=Fails(500)) as server:
        done = run(tmp_path, papers, "--vision", server.base_url, "--model", "generic")
    assert done.returncode == 0, done.stderr
    assert_cpu_stands(tmp_path, "no vision reading")


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """llama.cpp's real server with a model of random weights: all that it says is noise."""
    with llamacpp(tmp_path_factory.mktemp("llama")) as server:
        yield server.base_url


@pytest.mark.data
@pytest.mark.skipif(not HANDWRITTEN.exists(), reason="the development documents are absent")
def test_with_one_that_lies(tmp_path: Path, noise: str) -> None:
    """A handwritten page of which CPU OCR reads something: what the model makes up is not believed, and does not get into any output."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[vision]\nthreshold = 0.02\nmax_tokens = 256\n[limits]\npage_seconds = 90\n")
    done = run(tmp_path / "out", HANDWRITTEN, EXAMPLES / "recibo.jpg", "--vision", noise, "--policy", policy, key=KEY)
    assert done.returncode == 0, done.stderr
    found = pages(tmp_path / "out")
    assert found["recibo"]["state"] == "DONE"
    assert found[HANDWRITTEN.stem]["state"] == "DEGRADED"
    assert "was not believed" in found[HANDWRITTEN.stem]["reason"]
    assert found[HANDWRITTEN.stem]["route"] == "ocr"
    assert max(waits(tmp_path / "out")) < 120


def test_what_a_model_says_of_a_page_nobody_else_can_read(tmp_path: Path, papers: Path) -> None:
    """Kept, and marked: nobody could confirm it. The searchable PDF has it, JSON says where it may stand, and that this is a guess."""
    with fake(*[Says("Recebido em mãos pelo encarregado")] * 3) as server:
        done = run(tmp_path, papers / "hand-1.png", "--vision", server.base_url, "--model", "generic")
    assert done.returncode == 0, done.stderr
    page = pages(tmp_path)["hand-1"]
    assert (page["state"], page["route"], page["engine"]) == ("DEGRADED", "vision", "generic (tiny)")
    assert "vision model alone" in page["reason"]
    assert page["blocks"][0]["unaligned"] == [[0, 4]]
    assert "Recebido em mãos pelo encarregado" in (tmp_path / "hand-1" / "document.txt").read_text()
    import pymupdf

    with pymupdf.open(tmp_path / "hand-1" / "document.pdf") as document:
        assert "encarregado" in document[0].get_text()


@pytest.mark.no_cover
def test_another_model_is_another_reading(tmp_path: Path, papers: Path) -> None:
    """The same folder, now with a backend: the hard page is read again, by it; and once more by another that the registry does not know either."""
    assert run(tmp_path, papers / "hand-1.png").returncode == 0
    for name in ("tiny", "other"):
        with fake(*[Says("Recebido em mãos")] * 3, models=[name]) as server:
            assert run(tmp_path, papers / "hand-1.png", "--vision", server.base_url).returncode == 0
    assert {page["engine"] for page in pages(tmp_path).values() if page["route"] == "vision"} == {"generic (tiny)", "generic (other)"}
    assert "ocr" in {page["route"] for page in pages(tmp_path).values()}


@pytest.mark.no_cover
def test_what_a_person_can_get_wrong_is_told_in_a_sentence(tmp_path: Path, papers: Path) -> None:
    """No Ollama, no such model, no place, no URL, an address outside: one line with the way out, status 2, nothing read."""
    page = papers / "recibo.jpg"
    nobody = f"127.0.0.1:{free_port()}"
    with fake_ollama(["llava:7b", "minicpm-v:8b"]) as ollama:
        for arguments, told in (
            (("--vision", "ollama", "--ollama-host", nobody), "start it with `ollama serve`"),
            (("--vision", "ollama", "--ollama-host", ollama), "say with --model which one is to read"),
            (("--vision", "ollama", "--ollama-host", ollama, "--model", "qwen3-vl-8b"), "ollama pull qwen3-vl:8b"),
            (("--vision", "gpt-4o"), "use --vision https://api.openai.com/v1 --model gpt-4o"),
            (("--vision", "lightonocr-2-1b"), "say where it runs, and --model lightonocr-2-1b"),
            (("--vision", ""), "--vision takes `ollama` or the URL"),
            (("--model", "lightonocr-2-1b"), "--model lightonocr-2-1b needs --vision"),
            (("--vision", "http://127.0.0.1:notaport/v1"), "not a URL (its port is no number)"),
            (("--vision", "https://192.0.2.1/v1"), "external = true"),
        ):
            assert_refused(run(tmp_path, page, *arguments), told)


def assert_refused(done: subprocess.CompletedProcess[str], told: str) -> None:
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.no_cover
def test_a_name_that_nobody_knows_is_no_reason_to_let_pages_out(tmp_path: Path, papers: Path) -> None:
    """A slip in a name of one's own network: refused, and no word of the setting that would send pages elsewhere."""
    done = run(tmp_path, papers / "hand-1.png", "--vision", "http://gpubox.invalid:8000/v1")
    assert_refused(done, "the name in http://gpubox.invalid:8000/v1 cannot be resolved")
    assert "external" not in done.stderr


@pytest.mark.no_cover
def test_no_other_model_is_asked_in_place_of_the_one_named(tmp_path: Path, papers: Path) -> None:
    """What the server has is named, and nothing is sent to it."""
    with fake(models=["olmocr-2-7b-fp8"]) as server:
        for name, told in (
            ("lightonocr-2-1b", "the endpoint does not serve lightonocr-2-1b; it serves olmocr-2-7b-fp8\n"),
            ("olmocr-2-7b-fp9", "it serves olmocr-2-7b-fp8; did you mean olmocr-2-7b-fp8?\n"),
        ):
            assert_refused(run(tmp_path, papers / "hand-1.png", "--vision", server.base_url, "--model", name), told)
        server.models = ["one", "another"]
        assert_refused(run(tmp_path, papers / "hand-1.png", "--vision", server.base_url), "say with --model which one is to read")
        assert server.questions == []
    assert not (tmp_path / "hand-1").exists()


@pytest.mark.no_cover
def test_a_model_of_the_registry_is_asked_by_the_name_it_has_there(tmp_path: Path, papers: Path) -> None:
    """Its id on the hub, where the server calls it that; results carry the registry's name."""
    hub = "allenai/olmOCR-2-7B-1025-FP8"
    with fake(*[Says("Recebido em mãos")] * 3, models=[hub, "another"]) as server:
        done = run(tmp_path, papers / "hand-1.png", "--vision", server.base_url, "--model", "olmocr-2-7b-fp8")
        assert done.returncode == 0, done.stderr
        assert {question["model"] for question in server.questions} == {hub}


@pytest.mark.no_cover
@pytest.mark.parametrize("status", [401, 500])
def test_an_endpoint_that_refuses_is_told_at_the_start_and_at_the_end(tmp_path: Path, papers: Path, status: int) -> None:
    """A wrong key, a wrong path, a failure: the run goes on, and says so before it begins and beside the pages that it cost, each with its document."""
    with fake(everywhere=Fails(status)) as server:
        done = run(tmp_path, papers / "hand-1.png", "--vision", server.base_url, "--model", "generic", table=True)
    assert done.returncode == 0, done.stderr
    [first] = done.stderr.splitlines()
    assert first.endswith("; hard pages keep their CPU reading unless it comes back")
    assert f"(HTTP {status})" in first
    assert ("ESCRIBA_VISION_KEY or --vision-key" in first) == (status == 401)
    [last] = [line for line in done.stdout.splitlines() if "DEGRADED in" in line]
    assert last.startswith("1 page DEGRADED in hand-1.png: no vision reading: the vision endpoint")
    assert f"(HTTP {status})" in last


@pytest.mark.no_cover
def test_nothing_delivered_is_not_said_to_lie_anywhere(tmp_path: Path) -> None:
    """Only what is there is named."""
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing else")
    done = run(tmp_path / "out", tmp_path / "broken.pdf", table=True)
    assert done.returncode == 1
    assert "REJECTED" in done.stdout
    assert "Results:" not in done.stdout
