"""Starts a real vLLM on the CPU with a tiny model, in the environment that `make test-vllm` makes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engines.servers import HERE, KEY, ROOT, Server, free_port, started

PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_TARGET_DEVICE": "cpu",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}
FLAGS = {
    "--load-format": "dummy",
    "--dtype": "float32",
    "--max-model-len": "4096",
    "--max-num-seqs": "8",
    "--limit-mm-per-prompt": '{"image": 1, "video": 0}',
    "--served-model-name": "tiny",
    "--api-key": KEY,
    "--host": HERE,
}


@contextmanager
def vllm(directory: Path) -> Iterator[Server]:
    """VLLM's server; model and log go to `directory`. About a minute."""
    model, port = directory / "model", free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))} | ENVIRONMENT
    subprocess.run([PYTHON, ROOT / "tests" / "vllm" / "tiny_model.py", model], env=env, check=True, timeout=120)
    flags = [word for flag in FLAGS.items() for word in flag]
    command = [
        str(PYTHON),
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(model),
        "--port",
        str(port),
        "--enforce-eager",
        *flags,
    ]
    with started("vllm", command, port, directory / "vllm.log", seconds=300, env=env) as server:
        yield server
