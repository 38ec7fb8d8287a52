"""Starts a real vLLM in a process of its own with the flags that the GPU service gives it, reads what it says of its KV cache, and runs `vllm bench serve`."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.hard_pages import HEIGHT, MODEL, TOKENS, WIDTH
from escriba.models import model
from gpu_service.vllm_server import Tuning, serve_arguments, vllm_command
from tests.engines.servers import HERE, ROOT, Server, free_port, started
from tests.vllm.server import ENVIRONMENT, PYTHON

ON_CPU = ("--dtype", "float32", "--max-model-len", "4096", "--load-format", "dummy", "--enforce-eager")
_PROMPT_TOKENS = 130  # of the request besides its picture: MODEL's prompt and the chat's frame, by the tokenizer of `served_model`
_CACHE = re.compile(r"KV cache size: ([\d,]+) tokens")
_CONCURRENCY = re.compile(r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x")


@dataclass(frozen=True)
class Vllm:
    """A vLLM: its interpreter, and what its environment holds besides ours."""

    python: Path = PYTHON
    env: Mapping[str, str] | None = None

    def environment(self) -> dict[str, str]:
        """Ours without what is for our own interpreter, and theirs."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
        return ours | dict(ENVIRONMENT if self.env is None else self.env)

    def make_model(self, folder: Path, shape: str) -> None:
        """Write a model without weights; see `served_model`."""
        command = [self.python, "-m", "bench.served_model", folder, shape]
        subprocess.run(command, cwd=ROOT, env=self.environment(), check=True, timeout=300, stderr=subprocess.DEVNULL)

    def command(self, folder: Path, tuning: Tuning, port: int) -> list[str]:
        """As the GPU service starts it, by this interpreter."""
        _, *rest = vllm_command(serve_arguments(model(MODEL), str(folder), tuning, host=HERE, port=port))
        return [str(self.python), *rest]

    @contextmanager
    def served(self, folder: Path, tuning: Tuning, log: Path, *, seconds: float = 300) -> Iterator[Server]:
        """The server while the context lasts. Raises AssertionError with the end of its log when it does not start."""
        port = free_port()
        with started("vllm", self.command(folder, tuning, port), port, log, seconds=seconds, env=self.environment()) as server:
            yield server

    def bench_serve(self, server: Server, folder: Path, number: int, at_once: int, out: Path) -> dict[str, float]:
        """What `vllm bench serve` finds with requests of the same shape: random pictures of our size, our tokens in and out."""
        bucket = str({(HEIGHT, WIDTH, 1): 1.0})
        flags: Sequence[str | Path] = (
            "--backend", "openai-chat", "--base-url", server.address, "--endpoint", "/v1/chat/completions", "--model", MODEL,
            "--tokenizer", folder, "--dataset-name", "random-mm", "--random-mm-base-items-per-request", "1",
            "--random-mm-limit-mm-per-prompt", '{"image": 1, "video": 0}', "--random-mm-bucket-config", bucket,
            "--random-input-len", str(_PROMPT_TOKENS), "--random-output-len", str(TOKENS), "--ignore-eos",
            "--num-prompts", str(number), "--max-concurrency", str(at_once), "--disable-tqdm",
            "--save-result", "--result-dir", out.parent, "--result-filename", out.name,
        )  # fmt: skip
        command = [self.python, "-m", "bench.vllm_bench", *flags]
        done = subprocess.run(command, cwd=ROOT, env=self.environment(), capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise RuntimeError("vllm bench serve failed:\n" + (done.stderr or done.stdout)[-2000:])
        found: dict[str, float] = json.loads(out.read_text())
        return found


def kv_cache(log: Path) -> tuple[int, float]:
    """Tokens in the KV cache and requests of full length that fit at once, as the server logged them; 0 where it did not."""
    text = log.read_text(errors="replace")
    size, most = _CACHE.search(text), _CONCURRENCY.search(text)
    return int(size[1].replace(",", "")) if size else 0, float(most[1]) if most else 0.0
