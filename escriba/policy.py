"""What the owner of a document wants: languages, engine, thresholds and limits; loaded from TOML, forbidding what it does not know."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from escriba.errors import ConfigurationError

READER_VERSION = "1"
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
    chunks: Chunks = Chunks()
    limits: Limits = Limits()
    password_secret: str = Field(default="", description="name of the secret that holds passwords for encrypted PDFs, one a line")

    def fingerprint(self, engine_versions: Mapping[str, str]) -> str:
        """12 hexadecimal digits that change whenever the output may: wishes (name, limits and secret apart), engines, reader version."""
        wishes = self.model_dump(mode="json", exclude={"name", "limits", "password_secret"})
        seed = {"policy": wishes, "engines": dict(engine_versions), "reader": READER_VERSION}
        return hashlib.sha256(json.dumps(seed, sort_keys=True).encode()).hexdigest()[:12]


def parse_policy(text: str, *, source: str = "policy") -> Policy:
    """Read a policy from TOML text. Raises `ConfigurationError` with one sentence naming every wrong field."""
    try:
        return Policy.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source} is not valid TOML: {error}") from None
    except ValidationError as error:
        raise ConfigurationError(f"{source} has settings that Escriba does not accept: {_complaints(error)}") from None


def with_languages(policy: Policy, languages: str) -> Policy:
    """The policy for other languages, codes joined by `+`. Raises `ConfigurationError`."""
    wishes = policy.model_dump() | {"languages": tuple(languages.split("+"))}
    try:
        return Policy.model_validate(wishes)
    except ValidationError as error:
        raise ConfigurationError(f"{languages!r} names no languages: {_complaints(error)}") from None


def _complaints(error: ValidationError) -> str:
    # A list whose every member is wrong is "too short" as well; that helps nobody.
    told = [wrong for wrong in error.errors() if wrong["type"] != "too_short"] or error.errors()
    return "; ".join(f"{'.'.join(map(str, wrong['loc']))}: {_complaint(wrong)}" for wrong in told)


def _complaint(wrong: Any) -> str:
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
