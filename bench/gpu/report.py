"""Writes down what a sweep found, for machines (JSON) and for people (Markdown)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """One server under one size of picture. Tokens are of one page; `preempted` counts answers that the server pushed out of its KV cache and began again."""

    sequences: int
    batched_tokens: int
    fp8: bool
    pixels: str
    pages: int
    pages_per_second: float
    tokens_in: float
    tokens_out: float
    kv_tokens: int
    kv_requests: float
    preempted: int
    start_seconds: float


@dataclass
class Report:
    """`notes` say what was not measured, and why."""

    machine: str
    gpu: str
    vllm: str
    dry: bool
    rows: list[Measured] = field(default_factory=list)
    worker: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """`report.json` and `report.md`, anew after every step, so that what is cut off leaves what it had."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(asdict(self), indent=1))
        (folder / "report.md").write_text(self.markdown())

    def markdown(self) -> str:
        """A table of the servers, then the worker beside the closed loop."""
        lines = [f"{self.gpu}; vLLM {self.vllm}; {self.machine}"]
        if self.dry:
            lines += ["", "**A dry run of the small model on the CPU: no figure here says anything of a GPU.**"]
        head = (
            "sequences",
            "tokens a step",
            "precision",
            "picture",
            "pages/s",
            "tokens in",
            "tokens out",
            "KV cache, tokens",
            "full requests",
            "preempted",
        )
        lines += ["", *_table(head, [_cells(row) for row in self.rows])]
        if self.worker:
            lines += ["", *_table(("", "pages/s"), [(name, f"{self.worker[name]:.3f}") for name in ("straight", "worker")])]
            cost = f"a page costs its process {self.worker['cpu_ms']:.1f} ms of CPU"
            lines += ["", f"The worker reads {self.worker['share']:.1%} of the closed loop's pages a second (target: 95 %); {cost}."]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes), ""])


def _cells(row: Measured) -> tuple[str, ...]:
    return (
        str(row.sequences), str(row.batched_tokens), "FP8" if row.fp8 else "BF16", row.pixels, f"{row.pages_per_second:.2f}", f"{row.tokens_in:.0f}",
        f"{row.tokens_out:.0f}", f"{row.kv_tokens:,}", f"{row.kv_requests:.1f}", str(row.preempted),
    )  # fmt: skip


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
