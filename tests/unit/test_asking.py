"""Which model a server is asked for, by what name, and with which entry's prompt; and what is told where it has none of that name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from escriba import models
from escriba.cli.naming import on_endpoint, on_ollama
from escriba.errors import ConfigurationError

OLMOCR = "allenai/olmOCR-2-7B-1025-FP8"
PULLED = "richardyoung/olmocr2:7b-q8"
AT = "http://127.0.0.1:11434"


@pytest.mark.parametrize(
    ("model", "served", "entry", "name"),
    [
        ("", (OLMOCR,), "olmocr-2-7b-fp8", OLMOCR),
        ("", ("our-own",), "generic", "our-own"),
        ("", ("our-own", OLMOCR), "olmocr-2-7b-fp8", OLMOCR),
        ("", ("olmocr-2-7b-fp8", OLMOCR), "olmocr-2-7b-fp8", "olmocr-2-7b-fp8"),
        ("olmocr-2-7b-fp8", ("other", OLMOCR), "olmocr-2-7b-fp8", OLMOCR),
        ("OLMOCR-2-7B-FP8", ("olmocr-2-7b-fp8",), "olmocr-2-7b-fp8", "olmocr-2-7b-fp8"),
        ("olmocr-2-7b-fp8", (PULLED,), "olmocr-2-7b-fp8", PULLED),
        (OLMOCR, ("olmocr-2-7b-fp8",), "olmocr-2-7b-fp8", "olmocr-2-7b-fp8"),
        ("our-own", ("other", "our-own"), "generic", "our-own"),
        ("llava", ("llava:latest",), "generic", "llava:latest"),
        ("generic", ("finetuned",), "generic", "finetuned"),
        ("generic", (OLMOCR,), "generic", OLMOCR),
        ("gpt-4o", ("gpt-4o-mini", "gpt-4o"), "gpt-4o", "gpt-4o"),
    ],
)
def test_the_model_and_its_name_there(model: str, served: tuple[str, ...], entry: str, name: str) -> None:
    """What a person named, else the one there is; a name of the registry finds the endpoint's own name for it."""
    found, there = on_endpoint(model, served)
    assert (found.name, there) == (entry, name)


def test_an_endpoint_that_does_not_say_what_it_serves() -> None:
    """It is asked by the name that a person gave, or by the one that every server of the registry's model should have."""
    assert on_endpoint("our-own", ())[1] == "our-own"
    assert on_endpoint("gpt-4o", ())[1] == "gpt-4o"
    default = models.model(models.DEFAULT)
    assert on_endpoint("", ()) == (default, default.served_as(""))


@pytest.mark.parametrize(
    ("model", "served", "told"),
    [
        ("lightonocr-2-1b", ("olmocr-2-7b-fp8",), "the endpoint does not serve lightonocr-2-1b; it serves olmocr-2-7b-fp8"),
        ("olmocr-2-7b-fp9", (OLMOCR,), f"not serve olmocr-2-7b-fp9; it serves {OLMOCR}; did you mean olmocr-2-7b-fp8?"),
        ("llava", ("other", "llava-phi"), "it serves other, llava-phi; did you mean llava-phi?"),
        ("lightonocr-2-1b", ("finetuned",), "vLLM: --served-model-name lightonocr-2-1b, llama.cpp: --alias lightonocr-2-1b"),
        ("", ("one", "another"), "has several models: say with --model which one is to read (one, another)"),
        ("", (OLMOCR, "lightonocr-2-1b", "another"), "say with --model"),
        ("generic", (OLMOCR, "another"), "say with --model"),
        ("qwen3-vl:4b", ("qwen3-vl:8b-instruct",), "does not serve qwen3-vl:4b; it serves qwen3-vl:8b-instruct; did you mean qwen3-vl-8b?"),
    ],
)
def test_a_model_that_an_endpoint_does_not_serve(model: str, served: tuple[str, ...], told: str) -> None:
    """No other model is asked in its place; the sentence ends where the list does, unless something near is there."""
    with pytest.raises(ConfigurationError) as refused:
        on_endpoint(model, served)
    assert told in str(refused.value)
    assert ("did you mean" in told) == ("did you mean" in str(refused.value))


@pytest.mark.parametrize(
    ("model", "installed", "entry", "name"),
    [
        ("", (PULLED, "llava:7b", "maternion/LightOnOCR-2:1b"), "olmocr-2-7b-fp8", PULLED),
        ("", ("llava:7b",), "generic", "llava:7b"),
        ("", ("llava:7b", "maternion/LightOnOCR-2:1b"), "lightonocr-2-1b", "maternion/LightOnOCR-2:1b"),
        ("olmocr-2-7b-fp8", ("llava:7b", PULLED), "olmocr-2-7b-fp8", PULLED),
        ("granite-docling", ("granite-docling:latest",), "generic", "granite-docling:latest"),
        ("hub:5000/x/y", ("hub:5000/x/y:latest",), "generic", "hub:5000/x/y:latest"),
        ("generic", (PULLED,), "generic", PULLED),
    ],
)
def test_the_model_on_an_ollama(model: str, installed: Sequence[str], entry: str, name: str) -> None:
    """What a person named; else the default, the only one that the registry knows, or the only one there is."""
    found, there = on_ollama(model, installed, AT)
    assert (found.name, there) == (entry, name)


@pytest.mark.parametrize(
    ("model", "installed", "told"),
    [
        ("", (), f"fetch it with `ollama pull {PULLED}`"),
        ("", ("llava:7b", "minicpm-v:8b"), "has several models: say with --model which one is to read (llava:7b, minicpm-v:8b)"),
        ("olmocr2", (PULLED,), f"has no model olmocr2; it has {PULLED}; did you mean olmocr-2-7b-fp8?"),
        ("lava", ("llava:7b",), "it has llava:7b; did you mean llava:7b?"),
        ("granit-docling-258m", (), "did you mean granite-docling-258m?"),
        ("dots-ocr", (PULLED,), "dots-ocr is not on Ollama; `escriba models show dots-ocr` says how vLLM serves it"),
        ("qwen3-vl-8b", ("llava:7b",), "it has llava:7b: fetch it with `ollama pull qwen3-vl:8b-instruct`"),
        ("richardyoung/olmocr2:7b-q4", (PULLED,), "fetch it with `ollama pull richardyoung/olmocr2:7b-q4`"),
        ("gpt-4o", (), "use --vision https://api.openai.com/v1 --model gpt-4o"),
        ("zzz", (PULLED,), "`ollama pull zzz` fetches it, if that is its name there"),
    ],
)
def test_a_model_that_an_ollama_lacks(model: str, installed: Sequence[str], told: str) -> None:
    """The way to it: what was meant, a command that fetches what is there to fetch, or another server."""
    with pytest.raises(ConfigurationError) as refused:
        on_ollama(model, installed, AT)
    assert told in str(refused.value)
    assert ("ollama pull" in told) == ("ollama pull" in str(refused.value))


def test_a_command_that_asks_nobody_loads_nothing_to_ask_with() -> None:
    """The packages for it take a third of the time in which every command starts."""
    code = "import escriba.cli, sys; sys.exit(any(name in sys.modules for name in ('openai', 'cv2', 'rapidocr')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
