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


def run(out: Path, *arguments: object, key: str = "") -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "OLLAMA_HOST"} | ({"ESCRIBA_VISION_KEY": key} if key else {})
    command = [sys.executable, "-m", "escriba", "run", *map(str, arguments), "--out", str(out), "--no-report", "--json", "--workers", "1"]
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
    assert "cannot be reached" in done.stderr
    assert "hard pages keep their CPU reading" in done.stderr
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
    assert (page["state"], page["route"], page["engine"]) == ("DEGRADED", "vision", "generic")
    assert "vision model alone" in page["reason"]
    assert page["blocks"][0]["unaligned"] == [[0, 4]]
    assert "Recebido em mãos pelo encarregado" in (tmp_path / "hand-1" / "document.txt").read_text()
    import pymupdf

    with pymupdf.open(tmp_path / "hand-1" / "document.pdf") as document:
        assert "encarregado" in document[0].get_text()


@pytest.mark.no_cover
def test_another_model_is_another_reading(tmp_path: Path, papers: Path) -> None:
    """The same folder, now with a backend: the hard page is read again, by it."""
    assert run(tmp_path, papers / "hand-1.png").returncode == 0
    with fake(*[Says("Recebido em mãos")] * 3) as server:
        assert run(tmp_path, papers / "hand-1.png", "--vision", server.base_url, "--model", "generic").returncode == 0
    assert {page["route"] for page in pages(tmp_path).values()} == {"ocr", "vision"}


@pytest.mark.no_cover
def test_what_a_person_can_get_wrong_is_told_in_a_sentence(tmp_path: Path, papers: Path) -> None:
    """No Ollama, no such model, no URL, an address outside: one line with the way out, status 2, nothing read."""
    page = papers / "recibo.jpg"
    nobody = f"127.0.0.1:{free_port()}"
    with fake_ollama(["llava:7b"]) as ollama:
        for arguments, told in (
            (("--vision", "ollama", "--ollama-host", nobody), "start it with `ollama serve`"),
            (("--vision", "ollama", "--ollama-host", ollama), "ollama pull"),
            (("--vision", "ollama", "--ollama-host", ollama, "--model", "qwen3-vl-8b"), "ollama pull qwen3-vl:8b"),
            (("--vision", "gpt-4o"), "takes `ollama` or the URL"),
            (("--vision", "https://192.0.2.1/v1"), "external = true"),
        ):
            done = run(tmp_path, page, *arguments)
            assert done.returncode == 2, done.stderr
            assert told in done.stderr
            assert len(done.stderr.splitlines()) == 1
            assert "Traceback" not in done.stderr
