"""What a vLLM counted of itself, read from its metrics before and after something."""

from __future__ import annotations

import re
import urllib.request
from dataclasses import dataclass
from typing import Self

from tests.engines.servers import Server

_NAMES = ("request_success_total", "prompt_tokens_total", "generation_tokens_total", "num_preemptions_total")


@dataclass(frozen=True)
class Counts:
    """Answers, tokens in, tokens out, and answers pushed out of the KV cache."""

    answers: float
    asked: float
    told: float
    preempted: float

    @classmethod
    def of(cls, server: Server) -> Self:
        """Since its start, its engines added up."""
        with urllib.request.urlopen(f"{server.address}/metrics", timeout=10) as answer:  # noqa: S310  (our own address)
            text = answer.read().decode()
        return cls(*(sum(map(float, re.findall(rf"^vllm:{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE))) for name in _NAMES))

    def since(self, before: Counts) -> Counts:
        """The difference."""
        return Counts(self.answers - before.answers, self.asked - before.asked, self.told - before.told, self.preempted - before.preempted)
