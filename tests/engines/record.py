"""Writes down how a real server answers: `python -m tests.engines.record llamacpp|vllm` (the latter after `make test-vllm`)."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.engines.exchanges import RECORDINGS, exchanges, held
from tests.engines.servers import KEY, llamacpp
from tests.vllm.server import vllm

SERVERS = {"llamacpp": llamacpp, "vllm": vllm}

if __name__ == "__main__":
    kind = sys.argv[1]
    with tempfile.TemporaryDirectory() as directory, SERVERS[kind](Path(directory)) as server:
        answers = {name: held(exchange, server.address, KEY) for name, exchange in exchanges().items()}
    (RECORDINGS / f"{kind}.json").write_text(json.dumps(answers, indent=1, sort_keys=True) + "\n")
