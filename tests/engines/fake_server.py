"""A small server that speaks as vLLM does, and misbehaves on request; `test_fake_server.py` measures it by what real servers answered."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Protocol

from tests.engines import fake_ollama

CONTEXT = 4096  # tokens; one a character, and a picture costs nothing
OLLAMA = "library"  # who owns models, as Ollama signs them
MAGIC = (b"\x89PNG\r\n", b"\xff\xd8\xff")


class Act(Protocol):
    """What is done with one question."""

    def play(self, to: Handler, asked: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Says:
    """An answer, a word a token; `finish` None ends it without a reason. `pause` is seconds before each word.

    `breaks_off` closes the connection after the words, `late` says why the answer ended and then closes it (`breaks`) or keeps it (`hangs`).
    """

    text: str = "Total 12,50"
    finish: str | None = "stop"
    breaks_off: bool = False
    pause: float = 0.0
    late: Literal["", "breaks", "hangs"] = ""

    def play(self, to: Handler, asked: dict[str, Any]) -> None:
        to.begin(200, {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"})
        words = [word + " " for word in self.text.split(" ")] if self.text else []
        to.event(asked, {"role": "assistant", "content": ""}, None)
        for count, word in enumerate(words, 1):
            time.sleep(self.pause)
            to.event(asked, {"content": word}, None, count)
        if self.finish and not self.breaks_off:
            to.event(asked, {"content": ""}, self.finish, len(words))
        if self.late == "hangs":
            to.server.ending.wait(60)
        if self.breaks_off or self.late:
            to.close_connection = True
            return
        usage = {"prompt_tokens": 9, "total_tokens": 9 + len(words), "completion_tokens": len(words)}
        to.chunk(b"data: " + json.dumps(to.frame(asked) | {"choices": [], "usage": usage, "system_fingerprint": "fake"}).encode() + b"\n\n")
        to.chunk(b"data: [DONE]\n\n")
        to.chunk(b"")


@dataclass(frozen=True)
class Fails:
    """A status with the envelope of vLLM's errors, and headers."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "InternalServerError"
    message: str = "told to fail"
    param: str | None = None

    def play(self, to: Handler, asked: dict[str, Any]) -> None:
        to.json(
            self.status, {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.status}}, self.headers
        )


@dataclass(frozen=True)
class FailsWithin:
    """A stream that begins as a success and then reports an error."""

    status: int = 500

    def play(self, to: Handler, asked: dict[str, Any]) -> None:
        to.begin(200, {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"})
        to.event(asked, {"content": "Tot"}, None)
        error = {"message": "told to fail", "type": "InternalServerError", "param": None, "code": self.status}
        to.chunk(b"data: " + json.dumps({"error": error}).encode() + b"\n\ndata: [DONE]\n\n")
        to.chunk(b"")


@dataclass(frozen=True)
class Hangs:
    """Takes the question and says nothing, until the server ends."""

    def play(self, to: Handler, asked: dict[str, Any]) -> None:
        to.server.ending.wait(60)
        to.close_connection = True


@dataclass(frozen=True)
class Nonsense:
    """A success of any kind with any bytes."""

    body: bytes
    media_type: str = "text/event-stream"
    headers: dict[str, str] = field(default_factory=dict, compare=False)

    def play(self, to: Handler, asked: dict[str, Any]) -> None:
        to.begin(200, {"Content-Type": self.media_type, "Content-Length": str(len(self.body)), **self.headers})
        to.wfile.write(self.body)


@dataclass(frozen=True)
class Endless:
    """An answer that knows neither bound nor end."""

    def play(self, to: Handler, asked: dict[str, Any]) -> None:
        to.begin(200, {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"})
        for _ in range(200_000):
            to.event(asked, {"content": "and so on, "}, None)


@dataclass(frozen=True)
class Floods:
    """A success, or another status, whose body is one line without end."""

    status: int = 200
    media_type: str = "text/event-stream"

    def play(self, to: Handler, asked: dict[str, Any]) -> None:
        to.begin(self.status, {"Content-Type": self.media_type, "Transfer-Encoding": "chunked"})
        for sent in range(200):  # MiB
            to.server.flooded = sent
            to.chunk(b"x" * 1024 * 1024)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: FakeServer

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self._told(), None))
        if self.server.everywhere:
            self.server.everywhere.play(self, {})
        elif self.path == "/v1/models" and self._knows_key():
            card = {"object": "model", "created": 0, "owned_by": self.server.owner, "max_model_len": CONTEXT}
            self.json(200, {"object": "list", "data": [{"id": name, **card} for name in self.server.models]})
        elif self.server.owner == OLLAMA and self.path in (answers := fake_ollama.answers(self.server.models)):
            self.json(200, answers[self.path])
        elif self.path != "/v1/models":
            self.json(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, self._told(), asked))
        if self.server.everywhere:
            self.server.everywhere.play(self, asked)
        elif self.path == "/tokenize":
            tokens = [ord(letter) for letter in asked["prompt"]]
            self.json(200, {"count": len(tokens), "max_model_len": CONTEXT, "tokens": tokens, "token_strs": None})
        elif self.path != "/v1/chat/completions":
            self.json(404, {"detail": "Not Found"})
        elif self._knows_key():
            (self._refusal(asked, self.server.models) or self.server.next_act()).play(self, asked)

    def _told(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def _knows_key(self) -> bool:
        if not self.server.key or self.headers["Authorization"] == f"Bearer {self.server.key}":
            return True
        self.json(401, {"error": "Unauthorized"})
        return False

    @staticmethod
    def _refusal(asked: dict[str, Any], models: Sequence[str]) -> Act | None:
        content = asked["messages"][0]["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        images = [base64.b64decode(part["image_url"]["url"].partition(",")[2]) for part in parts if part["type"] == "image_url"]
        if asked["model"] not in models:
            return Fails(404, kind="NotFoundError", message=f"The model `{asked['model']}` does not exist.", param="model")
        if not all(image.startswith(MAGIC) for image in images):
            return Fails(400, kind="BadRequestError", message="Failed to load image: " + str(images[0][:9]))
        if sum(len(part.get("text", "")) for part in parts) > CONTEXT:
            return Fails(
                400, kind="BadRequestError", message=f"This model's maximum context length is {CONTEXT} tokens.", param="input_tokens"
            )
        return None

    def frame(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 0, "model": asked["model"]}

    def event(self, asked: dict[str, Any], delta: dict[str, Any], finish: str | None, count: int = 0) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = {"usage": {"prompt_tokens": 9, "total_tokens": 9 + count, "completion_tokens": count}}
        continuous = usage if asked.get("stream_options", {}).get("continuous_usage_stats") else {}
        self.chunk(b"data: " + json.dumps(self.frame(asked) | {"choices": [choice]} | continuous).encode() + b"\n\n")

    def json(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.begin(status, {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})})
        self.wfile.write(data)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def log_message(self, *words: object) -> None:
        """Nothing is logged."""


class FakeServer(ThreadingHTTPServer):
    """`acts` are played one a question, the last of them for ever; `everywhere` for every request.

    `models` are those it serves; `seen` holds path, headers (by small names) and body of each request.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, acts: Sequence[Act], *, key: str, owner: str, everywhere: Act | None, models: Sequence[str]) -> None:
        super().__init__((host, 0), Handler)
        self.models = models
        self.acts, self.key, self.owner, self.everywhere = list(acts), key, owner, everywhere
        self.seen: list[tuple[str, dict[str, str], dict[str, Any] | None]] = []
        self.flooded = 0
        self.ending = threading.Event()
        self._lock = threading.Lock()

    @property
    def place(self) -> tuple[str, int]:
        return str(self.server_address[0]), self.server_address[1]

    @property
    def address(self) -> str:
        host, port = self.place
        return f"http://{host}:{port}"

    @property
    def base_url(self) -> str:
        return f"{self.address}/v1"

    @property
    def questions(self) -> list[dict[str, Any]]:
        return [body for path, _, body in self.seen if path == "/v1/chat/completions" and body is not None]

    def next_act(self) -> Act:
        with self._lock:
            return self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left early is no error."""


@contextmanager
def fake(
    *acts: Act,
    host: str = "127.0.0.1",
    key: str = "",
    owner: str = "vllm",
    everywhere: Act | None = None,
    models: Sequence[str] = ("tiny",),
) -> Iterator[FakeServer]:
    """A server on this machine while the context lasts."""
    server = FakeServer(host, acts or [Says()], key=key, owner=owner, everywhere=everywhere, models=models)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ending.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
