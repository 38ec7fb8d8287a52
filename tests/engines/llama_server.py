"""llama.cpp's server with the tiny vision model, as a process: `python -m tests.engines.llama_server PORT KEY`; it ends with its standard input, unless told to `stay`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import xllamacpp

MODEL = Path(__file__).parents[1] / "fixtures" / "tiny_vlm"
NAME = "tiny"


def parameters(port: int, key: str) -> xllamacpp.CommonParams:
    """Two places of 4,096 tokens each, on this machine alone."""
    wanted = xllamacpp.CommonParams()
    wanted.model.path = str(MODEL / "tiny.gguf")
    wanted.mmproj.path = str(MODEL / "mmproj-tiny.gguf")
    wanted.model_alias = {NAME}
    wanted.hostnames = ["127.0.0.1"]
    wanted.port = port
    wanted.api_keys = [key]
    wanted.n_ctx = 8192
    wanted.n_parallel = 2
    wanted.endpoint_metrics = True
    wanted.warmup = False
    wanted.cpuparams.n_threads = 1
    wanted.cpuparams_batch.n_threads = 1
    return wanted


if __name__ == "__main__":
    server = xllamacpp.Server(parameters(int(sys.argv[1]), sys.argv[2]))
    if "stay" in sys.argv:
        signal.pause()
    sys.stdin.read()
