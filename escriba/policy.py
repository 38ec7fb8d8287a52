"""What the owner of a document wants: languages, engine, thresholds and limits; loaded from TOML, forbidding what it does not know."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from escriba.document import Urgency
from escriba.errors import ConfigurationError

READER_VERSION = "3"
"""Raised whenever the same bytes would be read differently (triage, layout, formats); part of every fingerprint."""


Language = Annotated[str, Field(pattern=r"^[a-z]{3}(_[a-z]+)?$")]
"""ISO 639-2, as Tesseract names its data: `por`, `eng`, `deu`, `chi_sim`."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Triage(_Section):
    """Thresholds that pick a page's route."""

    min_characters: int = Field(default=12, ge=0, description="fewer characters than this is no text layer")
    max_junk: float = Field(default=0.2, ge=0, le=1, description="share of unmapped or private glyphs that makes a text layer junk")
    outline_drawings: int = Field(default=20, ge=0, description="more vector drawings than this on a page without text may be letters")
    max_hidden: float = Field(default=0.5, ge=0, le=1, description="share of invisible text, over a full image, that is old OCR")
    full_image: float = Field(
        default=0.7, ge=0, le=1, description="image coverage of the page from which a text layer is suspected to be old OCR"
    )


class Ocr(_Section):
    """How pages without a usable text layer are read."""

    engine: str = Field(default="auto", description="name of an installed engine; `auto` takes the best that this machine has")
    dpi: int = Field(default=200, ge=72, le=600, description="resolution at which pages are rendered, dots per inch")
    min_confidence: float = Field(default=0.6, ge=0, le=1, description="mean confidence below which a page is DEGRADED")
    max_blank_ink: float = Field(default=0.005, ge=0, le=1, description="share of inked pixels up to which a page without text is blank")


class Vision(_Section):
    """When a vision model is asked, which one, and what of its answers is believed."""

    enabled: bool = Field(default=True, description="whether hard pages may be read by a vision model, where the deployment has one")
    correction: bool = Field(
        default=False,
        description="whether words in doubt on pages that are not hard are corrected by a language model, from the text alone",
    )
    external: bool = Field(default=False, description="whether pages may leave the account for an endpoint outside it")
    models: tuple[str, ...] = Field(
        default=(),
        description="names from `escriba models list`, small ones first: the next is asked where one is not believed; empty: those the deployment offers",
    )
    max_usd_per_page: float = Field(default=0.05, ge=0, description="what one page may cost at most, USD; dearer models are not asked")
    urgency: Urgency = Field(default="interactive", description="interactive pages do not wait for a model that has yet to start")
    deadline_seconds: float = Field(default=120.0, gt=0, description="after so long the CPU reading stands, for interactive pages")
    batch_deadline_seconds: float = Field(default=14_400.0, gt=0, description="the same for batch pages")
    threshold: float = Field(default=0.1, ge=0, description="expected share of wrong characters from which a page is hard")
    crops: bool = Field(default=True, description="whether the hard part of a page is sent alone where that is enough")
    max_tokens: int = Field(default=4096, ge=64, description="the longest answer that is waited for, tokens")
    attempts: int = Field(
        default=3, ge=1, le=6, description="answers that are asked of one model before the next one is, or the CPU reading stands"
    )
    min_grounding: float = Field(
        default=0.75, ge=0, le=1, description="share of what CPU OCR was sure of that an answer must agree with to be believed"
    )


class Chunks(_Section):
    """How documents are cut for retrieval."""

    target_tokens: int = Field(default=400, ge=8, description="length that a chunk is not to exceed, about four characters a token")


class Limits(_Section):
    """What is refused, and how long one page may take."""

    max_bytes: int = Field(default=500_000_000, ge=1, description="size of an upload")
    max_pages: int = Field(default=10_000, ge=1, description="pages of a document")
    max_pixels: int = Field(default=200_000_000, ge=1, description="pixels of one picture")
    max_expansion: int = Field(default=20_000, ge=1, description="pixels that one byte of a large picture may unpack to")
    max_page_inches: int = Field(default=2_000, ge=1, description="longer side of a page")
    max_nesting: int = Field(default=2, ge=0, description="documents within documents (PDF portfolios)")
    page_seconds: float = Field(default=30.0, gt=0, description="time an engine may take for one page")


class Policy(_Section):
    """The owner's wishes. Its `fingerprint` is part of a reading's identity."""

    name: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    languages: tuple[Language, ...] = Field(default=("por", "eng"), min_length=1, description="ISO 639-2 codes, most likely first")
    triage: Triage = Triage()
    ocr: Ocr = Ocr()
    vision: Vision = Vision()
    mask_pii: bool = Field(
        default=False,
        description="whether personal data is masked before pages leave the account; not built yet, so `external` is refused with it",
    )
    chunks: Chunks = Chunks()
    limits: Limits = Limits()
    password_secret: str = Field(default="", description="name of the secret that holds passwords for encrypted PDFs, one a line")

    @model_validator(mode="after")
    def _no_unmasked_page_leaves(self) -> Policy:
        if self.mask_pii and self.vision.external:
            raise ValueError("mask_pii and vision.external exclude each other: personal data cannot be masked yet")
        return self

    def fingerprint(self, engine_versions: Mapping[str, str]) -> str:
        """12 hexadecimal digits that change whenever the output may: wishes (name, limits and secret apart), engines, reader version."""
        waiting = {"urgency", "deadline_seconds", "batch_deadline_seconds"}
        wishes = self.model_dump(mode="json", exclude={"name": True, "limits": True, "password_secret": True, "vision": waiting})
        seed = {"policy": wishes, "engines": dict(engine_versions), "reader": READER_VERSION}
        return hashlib.sha256(json.dumps(seed, sort_keys=True).encode()).hexdigest()[:12]


def parse_policy(text: str, *, source: str = "policy") -> Policy:
    """Read a policy from TOML text. Raises `ConfigurationError` with one sentence naming every wrong field."""
    try:
        return Policy.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source} is not valid TOML: {error}") from None
    except ValidationError as error:
        raise ConfigurationError(f"{source} has settings that Escriba does not accept: {complaints(error)}") from None


def with_languages(policy: Policy, languages: str) -> Policy:
    """The policy for other languages, codes joined by `+`. Raises `ConfigurationError`."""
    wishes = policy.model_dump() | {"languages": tuple(languages.split("+"))}
    try:
        return Policy.model_validate(wishes)
    except ValidationError as error:
        raise ConfigurationError(f"{languages!r} names no languages: {complaints(error)}") from None


def complaints(error: ValidationError) -> str:
    """What is wrong with the settings of a file, each by its name."""
    # A list whose every member is wrong is "too short" as well; that helps nobody.
    told = [wrong for wrong in error.errors() if wrong["type"] != "too_short"] or error.errors()
    return "; ".join(": ".join(filter(None, (".".join(map(str, wrong["loc"])), _complaint(wrong)))) for wrong in told)


def _complaint(wrong: Any) -> str:
    if wrong["type"] == "value_error":
        return str(wrong["ctx"]["error"])
    if wrong["type"] == "extra_forbidden":
        return "there is no such setting (docs/configuration.md lists them all)"
    if wrong["loc"][0] == "languages" and wrong["type"] == "string_pattern_mismatch":
        return f"{wrong['input']!r} is no ISO 639-2 code, which has three letters (por, eng, deu)"
    return f"{str(wrong['msg']).lower()}, not {wrong['input']!r}"


def load_policy(path: Path) -> Policy:
    """Read a policy file. Raises `ConfigurationError` when it is missing or wrong."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot read the policy file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the policy file {path} is no text in UTF-8") from None
    return parse_policy(text, source=str(path))
