"""What is asked of a vision model and what comes back: values that the client, the parsers, the guards and the stage share."""

from __future__ import annotations

import math
from typing import Any, Literal, Protocol

import msgspec

from escriba.document import BlockKind, BoundingBox

_FLOOR, _MARKUP, _SPARE = 1024, 2.0, 256  # tokens; how much longer a text is with its markup
Cause = Literal["unread", "low_confidence", "disagreement", "table", "handwriting", "formula"]
"""What in the CPU reading asked for a second look."""
FinishReason = Literal["stop", "length", "repetition", "filtered"]


class Region(msgspec.Struct, frozen=True):
    """What a model is to look at: a rectangle of the page as it was read (points, origin top left), or, without a box, all of it."""

    cause: Cause
    box: BoundingBox | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt for a served model, with one image or none.

    `image` is a PNG or JPEG of `pixels` pixels, or empty: then the prompt is asked alone; `max_tokens` bounds the answer, and is never absent; `sampling` are
    fields of the request, besides the temperature, by which the model's answers are drawn; `schema` is a JSON schema that the answer must
    fit, where the model is asked for JSON.
    """

    model: str
    prompt: str
    image: bytes = b""
    media_type: Literal["image/png", "image/jpeg"] = "image/png"
    pixels: int = 0
    max_tokens: int
    temperature: float = 0.0
    sampling: dict[str, Any] = {}
    schema: dict[str, Any] | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the model said, before anything is believed of it; `seconds` and tokens are what it cost, all tries together."""

    text: str
    finish: FinishReason
    model: str
    prompt_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0


class Said(msgspec.Struct, frozen=True):
    """One piece of an answer. `html` is a whole `<table>` where `kind` is `table`; `box` is x0, y0, x1, y1 as shares (0 to 1) of the image, where the model gives one."""

    kind: BlockKind
    text: str
    level: int = 0
    html: str = ""
    box: tuple[float, float, float, float] | None = None


class Parsed(msgspec.Struct, frozen=True):
    """An answer as its model's parser understands it: pieces in reading order; none where the model says that the image is blank.

    `turn` is how many degrees clockwise the image must be turned to stand upright, where the model reports it.
    """

    pieces: tuple[Said, ...]
    turn: int = 0

    @property
    def text(self) -> str:
        return "\n".join(piece.text for piece in self.pieces)


class Verdict(msgspec.Struct, frozen=True):
    """Whether an answer is believed.

    `refused` is the stable name of the guard that refused it, empty when it is accepted, and `reason` its sentence, which never quotes the document.
    `grounded` is the share (0 to 1) of what CPU OCR was sure of that the answer agrees with; None where OCR was sure of nothing, so that the
    answer can only be kept as ungrounded.
    """

    refused: str = ""
    reason: str = ""
    grounded: float | None = None


def answer_bound(cpu_characters: int, counted_tokens: int | None, characters_per_token: float, most: int) -> int:
    """The most tokens an answer may have: twice what CPU OCR read, for markup and for what it missed, at least 1,024, at most `most`.

    `counted_tokens` is the length of the CPU's text by the model's own tokenizer; without it, it is estimated from its characters. Where CPU OCR
    read nothing there is nothing to go by, and `most` holds.
    """
    if cpu_characters <= 0:
        return most
    tokens = math.ceil(cpu_characters / characters_per_token) if counted_tokens is None else counted_tokens
    return min(most, max(_FLOOR, math.ceil(_MARKUP * tokens) + _SPARE))


class VisionModel(Protocol):
    """A served model. `engines/vision.py` implements it; safe for several threads."""

    def count_tokens(self, text: str, model: str = "", seconds: float = 10.0) -> int | None:
        """How many tokens a text is to this model, None where its server does not say."""

    def ask(self, question: Question, seconds: float) -> Answer:
        """Its answer within so many seconds, retries and waiting included.

        Raises `Throttled` (busy for longer than that), `EngineUnavailable` (cannot be reached, or fails), `EngineTimeout` (too slow), and
        `EngineRejected` for a question it refuses for good.
        """
