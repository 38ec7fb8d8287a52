"""What is sent to a vision server for a question, and how the answer that streams back is put together; pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from escriba.engines.failures import Broken
from escriba.vision import Answer, FinishReason, Question

LimitName = Literal["max_tokens", "max_completion_tokens"]
"""What an endpoint calls the bound on its answer: the former nearly everywhere, the latter where newer models of OpenAI's are served."""
TOKENIZED = frozenset({"vllm", "llamacpp"})
"""Servers that offer their tokenizer."""

_FINISHES: dict[str, FinishReason] = {"stop": "stop", "length": "length", "repetition": "repetition", "content_filter": "filtered"}
_TOKEN_CHARACTERS = 64  # longer than tokens are on the whole: a server that sends more in all ignores the limit
_LOOPS = {
    "max_pattern_size": 128,
    "min_pattern_size": 1,
    "min_count": 32,
}  # tokens: what vLLM stops by itself; dotted lines, empty cells stay below


class Watch(Protocol):
    """Follows one answer as it arrives."""

    def feed(self, piece: str) -> bool:
        """Whether the answer, with this piece, repeats itself without end and is to be cut."""


class Unwatched:
    """Cuts nothing."""

    def feed(self, piece: str) -> bool:
        return False


@dataclass
class Cost:
    """Tokens of all tries together; of a try that broke off, what is known."""

    prompt_tokens: int = 0
    answer_tokens: int = 0

    def add(self, arriving: Arriving) -> None:
        """Count one try in."""
        self.prompt_tokens += arriving.prompt_tokens
        self.answer_tokens += arriving.answer_tokens or arriving.pieces


@dataclass
class Arriving:
    """An answer, piece by piece."""

    question: Question
    watch: Watch
    text: list[str] = field(default_factory=list)
    characters: int = 0
    pieces: int = 0
    refused: bool = False
    cut: bool = False
    finish: FinishReason | None = None
    model: str = ""
    prompt_tokens: int = 0
    answer_tokens: int = 0

    def take(self, chunk: Any) -> bool:
        """Add what one event of the stream holds; whether no more is wanted. Raises `Broken` for an event that is none of the protocol's."""
        try:
            self._count(chunk.get("usage"))
            self.model = self.model or str(chunk.get("model") or "")
            for choice in chunk.get("choices") or ():
                delta = choice.get("delta")
                self._add(delta.get("content") or "")
                self.refused = self.refused or bool(delta.get("refusal"))
                self._end(choice.get("finish_reason"))
        except (AttributeError, TypeError, ValueError):
            raise Broken from None
        self._bound()
        return self.cut

    def answer(self, cost: Cost, seconds: float) -> Answer:
        """The whole; `finish` must be known."""
        if self.finish is None:
            raise Broken
        return Answer(
            text="".join(self.text),
            finish=self.finish,
            model=self.model or self.question.model,
            prompt_tokens=cost.prompt_tokens,
            answer_tokens=cost.answer_tokens,
            seconds=seconds,
        )

    def _count(self, usage: Any) -> None:
        if usage is not None:
            self.prompt_tokens, self.answer_tokens = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)

    def _add(self, piece: str) -> None:
        if piece:
            self.text.append(piece)
            self.pieces += 1
            self.characters += len(piece)
            if self.finish is None and self.watch.feed(piece):
                self.finish, self.cut = "repetition", True

    def _end(self, reason: str | None) -> None:
        if reason is None or self.finish is not None:
            return
        if reason not in _FINISHES:
            raise Broken
        self.finish = "filtered" if self.refused and not self.text else _FINISHES[reason]

    def _bound(self) -> None:
        most = self.question.max_tokens
        if self.finish is None and (self.pieces > most or self.characters > most * _TOKEN_CHARACTERS):
            self.finish, self.cut = "length", True  # the server does not keep the bound, so we do


def request(question: Question, limit_name: LimitName, kind: str) -> dict[str, Any]:
    """The body of a streamed chat completion; `kind` is the server's own name, where it is known."""
    body: dict[str, Any] = {
        "model": question.model,
        "messages": [{"role": "user", "content": _content(question) if question.image else question.prompt}],
        "temperature": question.temperature,
        limit_name: question.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        **question.sampling,
    }
    if question.schema is not None:
        wanted = {"name": "answer", "strict": True, "schema": question.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    if kind == "vllm":
        body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}  # so that a cut answer is metered too
        body["repetition_detection"] = _LOOPS
    return body


def _content(question: Question) -> list[dict[str, Any]]:
    picture = f"data:{question.media_type};base64,{base64.b64encode(question.image).decode()}"
    # The prompt comes first: a server that keeps prefixes then computes it once for all pages.
    content: list[dict[str, Any]] = [{"type": "text", "text": question.prompt}] if question.prompt else []
    return [*content, {"type": "image_url", "image_url": {"url": picture}}]


def tokenize_request(kind: str, text: str, model: str) -> dict[str, Any]:
    """The body of POST /tokenize, which vLLM and llama.cpp spell differently."""
    if kind == "vllm":
        return {"prompt": text, "add_special_tokens": False} | ({"model": model} if model else {})
    return {"content": text, "add_special": False}


def counted(answer: Any) -> int | None:
    """The number of tokens in its answer, None where there is none."""
    found = answer.get("tokens") if isinstance(answer, dict) else None
    return len(found) if isinstance(found, list) else None
