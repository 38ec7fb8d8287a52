"""A small server that speaks the part of Ollama's documented interface that finding it needs: GET /api/version and GET /api/tags."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def _model(name: str) -> dict[str, Any]:
    details = {
        "parent_model": "",
        "format": "gguf",
        "family": "qwen25vl",
        "families": ["qwen25vl"],
        "parameter_size": "8.3B",
        "quantization_level": "Q4_K_M",
    }
    return {
        "name": name,
        "model": name,
        "modified_at": "2026-11-28T12:00:00Z",
        "size": 6_000_000_000,
        "digest": "0" * 64,
        "details": details,
    }


def answers(models: Sequence[str], version: str = "0.13.2") -> dict[str, Any]:
    """What it answers, by path."""
    return {"/api/version": {"version": version}, "/api/tags": {"models": [_model(name) for name in models]}}


@contextmanager
def fake_ollama(models: Sequence[str] = (), *, version: str = "0.13.2") -> Iterator[str]:
    """Runs while the context lasts; yields host and port, as OLLAMA_HOST has them. `version` empty: something else answers there."""
    known = answers(models, version) if version else {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = json.dumps(known.get(self.path, [])).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
