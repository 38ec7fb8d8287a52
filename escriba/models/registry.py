"""The vision models Escriba knows: what each was trained to be asked, how it is served and understood, what it costs; read from models.toml."""

from __future__ import annotations

import datetime as dt
import difflib
import functools
import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from escriba.errors import ConfigurationError
from escriba.models.parsers import VERSIONS, ParserName

VLLM_VERSION = "0.32.0"
"""The one vLLM that the extra `gpu` pins, the GPU image is made from and the flags below are checked against."""
DEFAULT, SMALL, ANY = "olmocr-2-7b-fp8", "lightonocr-2-1b", "generic"
"""Names: of the model taken where nobody names one, of the one asked first in a cascade, and of the entry for models the registry does not have."""
GPUS: Mapping[str, float] = {"L4": 22.5, "A10G": 22.5, "L40S": 45.0, "A100": 40.0, "H100": 79.6, "H200": 140.4}
"""Memory of one card as its driver reports it, GiB, smallest first; A100 is the 40 GB card."""

_USABLE = 0.9  # share of a card's memory that vLLM takes by default
_WORKING_GIB = 2.0  # activations, image encoder and CUDA graphs of one server
_GIB = 1 << 30


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rendering(_Entry):
    """The image a model is shown: its longer side in pixels, and the pixels that one token stands for (a square of patch x merge)."""

    longest_side: int = Field(ge=64)
    patch: int = Field(ge=1)
    merge: int = Field(ge=1)

    def size(self, width: float, height: float) -> tuple[int, int]:
        """Pixels of a page of this shape, in whole tokens, so that the server has no reason to resize it again."""
        step, scale = self.patch * self.merge, self.longest_side / max(width, height)
        longest = self.longest_side // step * step
        return tuple(min(max(step, round(side * scale / step) * step), longest) for side in (width, height))  # type: ignore[return-value]

    def tokens(self, width: int, height: int) -> int:
        """About how many tokens an image of so many pixels is."""
        step = self.patch * self.merge
        return math.ceil(width / step) * math.ceil(height / step)


class Sampling(_Entry):
    """How answers are drawn; `extra` are fields of the request that OpenAI's API does not have."""

    temperature: float = Field(default=0.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    extra: dict[str, Any] = {}


class Score(_Entry):
    """A published result, as its source words it."""

    benchmark: str
    value: float
    source: str


class Price(_Entry):
    """USD per million tokens, when it was looked up, and where."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    dated: dt.date
    source: str


class Model(_Entry):
    """One entry of models.toml.

    `repo` and `revision` name the weights on the hub; `served` is what an API calls it; `ollama` its GGUF there; `prompt_of` takes another
    entry's prompt; `context` and `max_tokens` are tokens; `vllm` are flags of `vllm serve`; `external` models live at an `endpoint` outside;
    those that `corrects` follow instructions about text alone, so that they may correct what CPU OCR read.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    title: str
    repo: str = Field(default="", pattern=r"^([\w.-]+/[\w.-]+)?$")
    revision: str = Field(default="", pattern=r"^([0-9a-f]{40})?$")
    licence: str
    commercial: bool
    format: Literal["safetensors", ""] = ""
    precision: Literal["bf16", "fp16", "fp8", "int8", "awq-int4", ""] = ""
    weights_gib: float = Field(default=0.0, ge=0)
    kv_bytes_per_token: int = Field(default=0, ge=0)
    context: int = Field(ge=1024)
    max_tokens: int = Field(ge=64)
    ollama: str = ""
    parser: ParserName
    prompt: str
    prompt_of: str = ""
    characters_per_token: float = Field(gt=0)
    rendering: Rendering
    sampling: Sampling = Sampling()
    vllm: tuple[str, ...] = ()
    scores: tuple[Score, ...]
    corrects: bool = False
    external: bool = False
    endpoint: str = ""
    served: str = ""
    price: Price | None = None

    @model_validator(mode="after")
    def _whole(self) -> Model:
        if self.external and (self.repo or not self.endpoint or not self.served or self.price is None):
            raise ValueError("an external model has an endpoint, a name there and a price, and no repository")
        if self.repo and not (self.format and self.precision and self.weights_gib and self.kv_bytes_per_token and self.vllm):
            raise ValueError("a model with weights says their format, precision and size, and how vLLM serves them")
        if self.max_tokens >= self.context:
            raise ValueError("the longest answer leaves no room for the image")
        return self

    @property
    def prompt_version(self) -> str:
        """8 hexadecimal digits that change whenever the same image may come to be read otherwise by the same weights."""
        seed = {
            "prompt": self.prompt,
            "parser": [self.parser, VERSIONS[self.parser]],
            "rendering": self.rendering.model_dump(),
            "sampling": self.sampling.model_dump(),
        }
        return hashlib.sha256(json.dumps(seed, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def version(self) -> str:
        """Weights and prompt, for fingerprints."""
        return f"{self.name}@{self.revision[:12] or self.served or 'unpinned'}+{self.prompt_version}"

    def served_as(self, called: str) -> str:
        """What an endpoint calls it: as its operator says, where he does; else as an API does, or as `serve` has it called."""
        return called or self.served or self.name

    def needs_gib(self, sequences: int = 4) -> float:
        """GPU memory for the weights and for so many full contexts at once, GiB; 0 where it has no weights of its own."""
        if not self.repo:
            return 0.0
        return self.weights_gib + self.kv_bytes_per_token * self.context * sequences / _GIB + _WORKING_GIB

    def fits(self, gpu_memory_gib: float, sequences: int = 4) -> bool:
        """Whether one card of so much memory serves it; arithmetic, not a measurement."""
        return bool(self.repo) and self.needs_gib(sequences) <= gpu_memory_gib * _USABLE

    def gpus(self) -> tuple[str, ...]:
        """The cards of `GPUS` that serve it."""
        return tuple(name for name, memory in GPUS.items() if self.fits(memory))

    def serve(self, source: str) -> tuple[str, ...]:
        """What follows `vllm serve`, for weights in a folder or, with the repository's own name, on the hub; it is served under this entry's name."""
        revision = ("--revision", self.revision) if source == self.repo else ()
        return (source, *revision, "--served-model-name", self.name, *self.vllm)

    def signature(self, called: str) -> str:
        """Who has read, as results name it; of a model that the registry does not know, also what its server calls it."""
        return f"{self.name} ({called})" if self.name == ANY and called else self.name

    def usd(self, prompt_tokens: int, answer_tokens: int) -> float:
        """What one answer costs at the list price; 0 for models of our own, whose cost is their GPU's time."""
        return (prompt_tokens * self.price.input + answer_tokens * self.price.output) / 1e6 if self.price else 0.0


@functools.cache
def catalogue() -> Mapping[str, Model]:
    """Every entry by name, in the file's order."""
    entries = tomllib.loads((resources.files("escriba.models") / "models.toml").read_text("utf-8"))["model"]
    prompts = {entry["name"]: entry.get("prompt", "").strip() for entry in entries}
    models: dict[str, Model] = {}
    for entry in entries:
        given = {"prompt": prompts[entry.get("prompt_of", entry["name"])], "format": "safetensors" if "repo" in entry else ""}
        models[entry["name"]] = Model.model_validate(entry | given)
    return models


def model(name: str) -> Model:
    """The entry of this name. Raises `ConfigurationError`, with names that are near."""
    found = catalogue().get(name.lower())
    if found is None:
        near = difflib.get_close_matches(name.lower(), catalogue(), n=3, cutoff=0.4)
        meant = f"; did you mean {' or '.join(near)}?" if near else "; escriba models list names them all"
        raise ConfigurationError(f"there is no model {name!r} in the registry{meant}")
    return found


def for_served(name: str) -> Model:
    """The entry for what a server calls its model: our name, a hub id or a path that ends in its last part, an Ollama name with or without tag.

    A model that nothing fits is asked as `generic`.
    """
    asked = name.strip().lower().rstrip("/")
    last = asked.rsplit("/", 1)[-1].partition(":")[0].removesuffix("-gguf")
    for entry in catalogue().values():
        ids = {entry.name, entry.served.lower(), entry.repo.lower(), entry.repo.lower().rsplit("/", 1)[-1]} - {""}
        if asked in ids or last in ids or (entry.ollama and _same_on_ollama(asked, entry.ollama.lower())):
            return entry
    return catalogue()[ANY]


def _same_on_ollama(asked: str, known: str) -> bool:
    """`qwen3-vl:8b` is `qwen3-vl:8b-instruct` in another quantisation; `:latest` or no tag is whatever the name stands for."""
    (name, _, tag), (known_name, _, known_tag) = asked.partition(":"), known.partition(":")
    size = known_tag.partition("-")[0]
    return name == known_name and (tag in {"", "latest"} or tag == size or tag.startswith(f"{size}-"))
