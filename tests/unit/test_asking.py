"""Which model an endpoint is asked for, by what name, and with which entry's prompt."""

from __future__ import annotations

import subprocess
import sys

import pytest

from escriba import models
from escriba.cli.asking import _match

OLMOCR = "allenai/olmOCR-2-7B-1025-FP8"


@pytest.mark.parametrize(
    ("model", "served", "entry", "name"),
    [
        ("", (OLMOCR,), "olmocr-2-7b-fp8", OLMOCR),
        ("", ("our-own",), "generic", "our-own"),
        ("", (), models.DEFAULT, OLMOCR),
        ("olmocr-2-7b-fp8", ("other", OLMOCR), "olmocr-2-7b-fp8", OLMOCR),
        ("our-own", ("other", "our-own"), "generic", "our-own"),
        ("llava", ("other", "another"), "generic", "llava"),
        ("our-own", (), "generic", "our-own"),
        ("lightonocr-2-1b", ("finetuned",), "lightonocr-2-1b", "finetuned"),
        ("generic", ("finetuned",), "generic", "finetuned"),
        ("gpt-4o", (), "gpt-4o", "gpt-4o"),
    ],
)
def test_the_model_and_its_name_there(model: str, served: tuple[str, ...], entry: str, name: str) -> None:
    """What a person named, else the first that is served; a name of the registry finds the endpoint's own name for it."""
    found, there = _match(model, served)
    assert (found.name, there) == (entry, name)


def test_a_command_that_asks_nobody_loads_nothing_to_ask_with() -> None:
    """The packages for it take a third of the time in which every command starts."""
    code = "import escriba.cli, sys; sys.exit(any(name in sys.modules for name in ('openai', 'cv2', 'rapidocr')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
