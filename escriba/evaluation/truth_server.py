"""Serves known truths as a vision model would say them, by the protocol that real servers speak, so that what a perfect model would gain can be measured."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

MODEL = "truth"
_LARGEST = 64 << 20  # bytes of one question
_NO_IMAGE, _NO_TRUTH, _UNKNOWN, _WHERE = 400, 400, 404, "/v1/chat/completions"


def key_of(image: bytes) -> str:
    """What a truth is registered under: the SHA-256 of the very image that will be sent."""
    return hashlib.sha256(image).hexdigest()


@contextmanager
def truth_server(truths: Mapping[str, str]) -> Iterator[str]:
    """The base URL of a server on loopback that answers an image with its truth (`key_of` to text), until the block ends.

    `truths` may grow meanwhile. An image that is not in it is refused: a gap must show, not score.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"truths": truths}))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Answers(BaseHTTPRequestHandler):
    """Answers one connection's questions as OpenAI's chat completions."""

    protocol_version = "HTTP/1.1"
    truths: Mapping[str, str]

    def do_GET(self) -> None:
        """The list of models, which clients may ask for first."""
        self._send(200, {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "escriba"}]})

    def do_POST(self) -> None:
        """A question: its image's truth."""
        length = int(self.headers.get("Content-Length", 0))
        if self.path != _WHERE or not 0 < length <= _LARGEST:
            self.close_connection = True
            self._refuse(_UNKNOWN, f"only {_WHERE} is answered here")
            return
        try:
            question = json.loads(self.rfile.read(length))
            image = _image(question["messages"])
        except (ValueError, KeyError, TypeError, IndexError, binascii.Error):
            self._refuse(_NO_IMAGE, "the question holds no image in base64")
            return
        truth = self.truths.get(key_of(image))
        if truth is None:
            self._refuse(_NO_TRUTH, "no truth is known for this image")
        elif question.get("stream"):
            self._stream(truth)
        else:
            self._send(200, _completion(truth, "chat.completion", "message"))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (http.server's name)
        """Nothing: the command's output is the figures."""

    def _refuse(self, status: int, sentence: str) -> None:
        self._send(status, {"error": {"message": sentence, "type": "invalid_request_error", "code": status}})

    def _send(self, status: int, body: dict[str, Any]) -> None:
        self._write(status, "application/json", json.dumps(body).encode())

    def _stream(self, truth: str) -> None:
        # Lines keep their ends, so that the pieces put together are the truth again.
        pieces = [_completion(piece, "chat.completion.chunk", "delta", ended=False) for piece in truth.splitlines(keepends=True)]
        pieces.append(_completion("", "chat.completion.chunk", "delta") | {"usage": _usage(truth)})
        events = [f"data: {json.dumps(piece)}\n\n" for piece in pieces]
        self._write(200, "text/event-stream", "".join((*events, "data: [DONE]\n\n")).encode())

    def _write(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _image(messages: list[Any]) -> bytes:
    """The first image of a conversation. Raises what indexing and decoding raise where there is none."""
    parts = [part for message in messages if isinstance(message["content"], list) for part in message["content"]]
    [address] = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"][:1]
    head, _, encoded = address.partition(",")
    if not head.endswith(";base64"):
        raise ValueError(head[:40])
    return base64.b64decode(encoded, validate=True)


def _usage(text: str) -> dict[str, int]:
    return {"prompt_tokens": 1, "completion_tokens": len(text.split()), "total_tokens": 1 + len(text.split())}


def _completion(text: str, kind: str, holder: str, *, ended: bool = True) -> dict[str, Any]:
    choice = {"index": 0, holder: {"role": "assistant", "content": text}, "finish_reason": "stop" if ended else None, "logprobs": None}
    body = {"id": "truth", "object": kind, "created": 0, "model": MODEL, "choices": [choice]}
    return body if kind.endswith("chunk") else body | {"usage": _usage(text)}
