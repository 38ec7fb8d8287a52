"""`escriba models`: what a user sees, and with which status it ends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from escriba import cli
from escriba.models import catalogue
from tests.unit.test_models_weights import SOUND

Escriba = Callable[..., tuple[int, str, str]]


@pytest.fixture
def escriba(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Escriba:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["escriba", "models", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return run


def test_the_list_has_a_line_for_each_model(escriba: Escriba) -> None:
    """With where it runs and what it needs."""
    status, out, _ = escriba("list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["name", *catalogue()]
    assert "default" in out


def test_one_model_is_shown_with_the_command_that_serves_it(escriba: Escriba) -> None:
    """Weights, prompt and flags for one of ours; price and endpoint for an API."""
    _, out, _ = escriba("show", "olmocr-2-7b-fp8")
    assert "serve: vllm serve allenai/olmOCR-2-7B-1025-FP8 --revision 19133a8e" in out
    assert """--limit-mm-per-prompt '{"image": 1, "video": 0}'""" in out
    assert "front matter section" in out
    assert "at most 8000 tokens of 16384 (a policy asks for 4096 where its vision.max_tokens says nothing else)" in out
    assert "a policy asks" not in escriba("show", "lightonocr-2-1b")[1]
    _, out, _ = escriba("show", "gpt-4o")
    assert "outside the account" in out
    assert "2.5 and 10 USD a million tokens" in out
    status, _, err = escriba("show", "olmocr")
    assert status == 2
    assert "did you mean olmocr-2-7b-fp8" in err


def test_the_registry_as_it_stands_may_be_used(escriba: Escriba) -> None:
    """Nothing fails; a card that is too small does."""
    status, out, _ = escriba("check")
    assert (status, "FAIL" in out) == (0, False)
    status, out, _ = escriba("check", "qwen3-vl-8b", "--gpu", "L4")
    assert status == 1
    assert "FAIL  qwen3-vl-8b: GPU: 27.4 GiB" in out
    assert escriba("check", "qwen3-vl-8b", "--gpu", "H100")[0] == 0
    assert escriba("check", "qwen3-vl-8b", "--gpu", "h100")[0] == 0


def test_a_card_whose_memory_nobody_wrote_down(escriba: Escriba) -> None:
    """One sentence, with the cards there are."""
    status, _, err = escriba("check", "qwen3-vl-8b", "--gpu", "RTX4090")
    assert status == 2
    assert err == "escriba: the memory of a RTX4090 is not known here; --gpu takes L4, A10G, L40S, A100, H100, H200\n"


def test_an_unpinned_model_is_no_model_for_production(escriba: Escriba, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails with the way out, and mirror copies nothing."""
    entry = catalogue()["dots-ocr"].model_copy(update={"revision": ""})
    monkeypatch.setattr("escriba.cli.models.model", lambda name: entry)
    status, out, _ = escriba("check", "dots-ocr")
    assert status == 1
    assert "FAIL  dots-ocr: revision: dots-ocr has no pinned revision yet: set it in models.toml" in out
    status, _, err = escriba("mirror", "dots-ocr", "--to", "s3://weights")
    assert status == 2
    assert "no pinned revision" in err


def test_what_cannot_be_mirrored_is_one_sentence(escriba: Escriba) -> None:
    """A place that is none in S3, a model without weights."""
    for arguments, sentence in (
        (("dots-ocr", "--to", "weights"), "s3://bucket/prefix"),
        (("gpt-4o", "--to", "s3://weights"), "has no weights"),
    ):
        status, _, err = escriba("mirror", *arguments)
        assert (status, err.count("\n")) == (2, 1)
        assert sentence in err


def test_a_folder_of_weights_is_looked_at(escriba: Escriba, tmp_path: Path) -> None:
    """Sound ones pass, a pickle beside them fails by name; a folder without its model, or that is not there, is a usage error."""
    (tmp_path / "model.safetensors").write_bytes(SOUND)
    status, out, _ = escriba("check", "lightonocr-2-1b", "--folder", str(tmp_path))
    assert status == 0
    assert "ok    lightonocr-2-1b: weights: 1 safetensors file" in out
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    status, out, _ = escriba("check", "lightonocr-2-1b", "--folder", str(tmp_path))
    assert status == 1
    assert "FAIL  lightonocr-2-1b: weights:" in out
    assert "pytorch_model.bin" in out
    assert escriba("check", "--folder", str(tmp_path))[0] == 2
    assert escriba("check", "lightonocr-2-1b", "--folder", str(tmp_path / "none"))[0] == 2


def test_what_cannot_be_checked_is_said(escriba: Escriba) -> None:
    """An API's pages leave; any other model's licence is its own."""
    assert "pages leave the account" in escriba("check", "claude-sonnet-5-5")[1]
    assert "not known to be allowed" in escriba("check", "generic")[1]
