"""What it means when a vision server fails: which error of ours it is, whether another try may help, and whether the server is to be left alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx2
import openai

from escriba.engines.breaker import retry_after
from escriba.errors import EngineRejected, EngineTimeout, EngineUnavailable, EscribaError, Throttled

_CONTEXT = re.compile(r"context.{0,12}(length|size|window)|maximum.{0,12}length|too (long|many tokens)", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,40}")
_UNAUTHORISED, _TIMED_OUT, _TOO_LARGE, _BUSY = {401, 403}, {408, 425}, 413, 429
NOT_FOUND = 404


class TooLong(EngineRejected):
    """Prompt, image and answer do not fit into the model's context; a smaller image or a shorter answer may."""

    code = "too_long"


class Broken(Exception):
    """A server ended an answer without a word, or spoke no protocol that we know."""


class Silent(Exception):
    """No piece of an answer for too long. `heard` says whether there had been one at all."""

    def __init__(self, *, heard: bool) -> None:
        super().__init__()
        self.heard = heard


@dataclass(frozen=True)
class Failure:
    """One failed try.

    `error` is what its caller is told when there is no other; `again` whether another try may help; `ill` whether it speaks against the server;
    `told` the seconds the server asks to wait; `status` its HTTP status, 0 without one.
    """

    error: EscribaError
    again: bool
    ill: bool
    told: float | None = None
    status: int = 0


def understand(error: Exception, place: str, now: datetime) -> Failure:
    """What an exception of one try means. `place` names the endpoint in sentences; what the server wrote is never repeated: it may quote the document."""
    ours = error if isinstance(error, EscribaError) else error.__cause__
    if isinstance(ours, EscribaError):
        return Failure(ours, again=False, ill=False)
    if isinstance(error, Silent):
        return Failure(EngineTimeout(f"{place} did not answer in time"), again=True, ill=not error.heard)
    if isinstance(error, openai.APIStatusError):
        return _status(error.status_code, error.body, place, retry_after(error.response.headers.get("retry-after"), now))
    if isinstance(error, openai.APIError) and not isinstance(
        error, openai.APIConnectionError
    ):  # told within a stream that had begun as a success
        code = error.body.get("code") if isinstance(error.body, dict) else None
        return _status(code if isinstance(code, int) else 500, error.body, place, None)
    unreached = isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)
    sentence = (
        "cannot be reached (is its server running?)" if unreached else "broke off, or does not answer as an OpenAI-compatible server does"
    )
    return Failure(EngineUnavailable(f"{place} {sentence}"), again=True, ill=True)


def _status(status: int, body: object, place: str, told: float | None) -> Failure:
    if status in _UNAUTHORISED:
        sentence = f"{place} does not accept the key (HTTP {status}): check ESCRIBA_VISION_KEY or --vision-key, or in a deployment the backend's secret"
        return Failure(EngineUnavailable(sentence), again=False, ill=False, status=status)
    if status == NOT_FOUND:
        sentence = f"{place} does not know what was asked for (HTTP 404): an OpenAI-compatible address usually ends in /v1"
        return Failure(EngineUnavailable(sentence), again=False, ill=False, status=status)
    if status == _BUSY:
        return Failure(Throttled(f"{place} is busy (HTTP 429)"), again=True, ill=False, told=told, status=status)
    if status in _TIMED_OUT or status >= 500:  # noqa: PLR2004  (the server's own errors)
        sentence = f"{place} failed (HTTP {status})"
        return Failure(EngineUnavailable(sentence), again=True, ill=True, told=told, status=status)
    if status < 400:  # noqa: PLR2004  (neither a success, which is no failure, nor a refusal)
        sentence = f"{place} answers with a redirect (HTTP {status}), which is never followed: give the address it points to"
        return Failure(EngineUnavailable(sentence), again=False, ill=False, status=status)
    return Failure(_refusal(status, body if isinstance(body, dict) else {}, place), again=False, ill=False, status=status)


def _refusal(status: int, body: dict[str, Any], place: str) -> EngineRejected:
    words = [word for word in (body.get("code"), body.get("type")) if isinstance(word, str) and _WORD.fullmatch(word)]
    if status == _TOO_LARGE or _CONTEXT.search(" ".join([*words, str(body.get("message", ""))]).replace("_", " ")):
        return TooLong(f"image, prompt and answer together are too long for the model at {place}")
    return EngineRejected(f"{place} refuses this image or prompt (HTTP {', '.join([str(status), *words[:1]])})")
