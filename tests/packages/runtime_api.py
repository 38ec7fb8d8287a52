"""Lambda's runtime API on this machine: hands one event to the runtime client that asks for it, and takes its answer."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_TIMEOUT_SECONDS = 120


@dataclass
class RuntimeApi:
    """`address` is what AWS_LAMBDA_RUNTIME_API says; `answers` gets (which of `response` and `error`, its content)."""

    event: Any
    address: str = ""
    answers: queue.Queue[tuple[str, Any]] = field(default_factory=queue.Queue)
    asked: int = 0
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def runtime_api(event: Any) -> Iterator[RuntimeApi]:
    """It serves while the context lasts; who asks for a second event waits till the end."""
    api = RuntimeApi(event)

    class Served(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            assert self.path == "/2018-06-01/runtime/invocation/next"
            api.asked += 1
            if api.asked > 1:
                api.over.wait()
                self.close_connection = True
                return
            body = json.dumps(api.event).encode()
            self.send_response(200)
            for name, value in (
                ("Lambda-Runtime-Aws-Request-Id", "00000000-0000-0000-0000-000000000001"),
                ("Lambda-Runtime-Deadline-Ms", str(int((time.time() + _TIMEOUT_SECONDS) * 1000))),
                ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:replayed"),
                ("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000;Parent=0000000000000000;Sampled=0"),
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.answers.put((self.path.rpartition("/")[2], body))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Served)
    server.daemon_threads = True
    api.address = f"127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield api
    finally:
        api.over.set()
        server.shutdown()
        server.server_close()
