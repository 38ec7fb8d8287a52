"""A hub on loopback: the parts of the Hugging Face API that a download uses, over a repository made on the spot."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LARGE = (".safetensors", ".bin")


@dataclass
class Hub:
    """One repository at one revision. `told` overrides the hash the API gives for a file; `asked` counts requests by path."""

    repo: str
    revision: str
    files: dict[str, bytes]
    told: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def info(self) -> dict[str, Any]:
        return {
            "id": self.repo,
            "sha": self.revision,
            "private": False,
            "tags": [],
            "siblings": [self._sibling(name) for name in self.files],
        }

    def _sibling(self, name: str) -> dict[str, Any]:
        data = self.files[name]
        found: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": self.told.get(name) or git_hash(data)}
        if name.endswith(LARGE):
            found["lfs"] = {"sha256": self.told.get(name) or hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        return found


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub on a free port; its url is in `hub.url`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            path = self.path.partition("?")[0]
            hub.asked.append(path)
            name = path.removeprefix(f"/{hub.repo}/resolve/{hub.revision}/")
            if path == f"/api/models/{hub.repo}/revision/{hub.revision}":
                self._send(200, json.dumps(hub.info()).encode(), {"Content-Type": "application/json"}, body=body)
            elif name in hub.files:
                data = hub.files[name]
                etag = hashlib.sha256(data).hexdigest() if name.endswith(LARGE) else git_hash(data)
                self._send(200, data, {"ETag": f'"{etag}"', "X-Repo-Commit": hub.revision}, body=body)
            else:
                missing = "RevisionNotFound" if path.startswith(f"/api/models/{hub.repo}/") else "RepoNotFound"
                self._send(404, b"{}", {"X-Error-Code": missing, "X-Error-Message": "not found"}, body=body)

        def _send(self, status: int, data: bytes, headers: dict[str, str], *, body: bool) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
