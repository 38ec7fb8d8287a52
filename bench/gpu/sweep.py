"""What is tried on a GPU: flags of the server, sizes of the picture; pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.vllm_process import ON_CPU
from gpu_service.vllm_server import Tuning

_FP8 = ("--quantization", "fp8")
_DUMMY = ("--load-format", "dummy")


@dataclass(frozen=True)
class Setting:
    """One server: sequences in a batch, tokens in a step, and whether weights and KV cache are FP8."""

    sequences: int
    batched_tokens: int
    fp8: bool

    def tuning(self, *, dry: bool) -> Tuning:
        """As flags; `dry` is the small model on the CPU, which has no FP8."""
        fp8 = self.fp8 and not dry
        more = ON_CPU if dry else (*_DUMMY, "--dtype", "bfloat16")
        return Tuning(
            max_num_seqs=self.sequences,
            max_num_batched_tokens=self.batched_tokens,
            gpu_memory_utilization=0.0 if dry else 0.92,
            kv_cache_dtype="fp8" if fp8 else "",
            more=(*more, *_FP8) if fp8 else more,
        )

    def __str__(self) -> str:
        return f"{self.sequences} sequences, {self.batched_tokens} tokens a step, {'FP8' if self.fp8 else 'BF16'}"


@dataclass(frozen=True)
class Sweep:
    """Every combination of flags, and with each the longer sides of the picture in pixels; answers of one measurement are `rounds` times the sequences."""

    sequences: Sequence[int] = (256, 128, 64)
    batched_tokens: Sequence[int] = (16_384, 8192, 32_768)
    fp8: Sequence[bool] = (False, True)
    sides: Sequence[int] = (1288, 1820, 910)
    rounds: float = 2.5

    def settings(self) -> Iterator[Setting]:
        """The likeliest first: time may run out."""
        for sequences, batched_tokens in itertools.product(self.sequences, self.batched_tokens):
            for fp8 in self.fp8:
                yield Setting(sequences, batched_tokens, fp8)


DRY = Sweep(sequences=(8, 4), batched_tokens=(4096,), fp8=(False,), sides=(644, 420), rounds=1.0)
"""The same steps where there is no GPU: seconds a measurement, and no figure worth keeping."""
