"""What is said to a server to learn how it answers, and the shape of an answer: which fields of which types, never the words."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engines.pictures import picture

RECORDINGS = Path(__file__).parent / "recordings"
SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
Recording = dict[str, Any]


def _chat(image: bytes, **more: Any) -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(image).decode()}"
    content = [{"type": "text", "text": more.pop("prompt", "Read.")}, {"type": "image_url", "image_url": {"url": url}}]
    usual = {"model": "tiny", "max_tokens": 8, "temperature": 0, "stream": True, "stream_options": {"include_usage": True}}
    return {"messages": [{"role": "user", "content": content}], **usual, **more}


@dataclass(frozen=True)
class Exchange:
    """A request; without a body it is a GET. `keyed` is whether it carries the right key."""

    path: str
    body: dict[str, Any] | None = None
    keyed: bool = True


def exchanges() -> dict[str, Exchange]:
    """By name, all that the recordings hold."""
    chat = "/v1/chat/completions"
    filled = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}
    loops = {"max_pattern_size": 20, "min_pattern_size": 1, "min_count": 4}
    return {
        "models": Exchange("/v1/models"),
        "answer": Exchange(chat, _chat(picture())),
        "structured": Exchange(chat, _chat(picture(), response_format=filled, max_tokens=64)),
        "repeating": Exchange(chat, _chat(picture(), repetition_detection=loops, logit_bias={"40": 100}, max_tokens=64)),
        "bad_image": Exchange(chat, _chat(b"no picture at all")),
        "too_long": Exchange(chat, _chat(picture(), prompt="word " * 9000)),
        "unknown_model": Exchange(chat, _chat(picture(), model="nobody")),
        "wrong_key": Exchange(chat, _chat(picture()), keyed=False),
        "tokenize": Exchange("/tokenize", {"model": "tiny", "prompt": "Total 12,50", "content": "Total 12,50"}),
        "no_such_path": Exchange("/v1/nothing"),
        "metrics": Exchange("/metrics"),
    }


def held(exchange: Exchange, address: str, key: str) -> Recording:
    """The exchange with a server: status, the headers that a client goes by, and the shape of the body."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key if exchange.keyed else 'wrong'}"}
    data = None if exchange.body is None else json.dumps(exchange.body).encode()
    request = urllib.request.Request(address + exchange.path, data=data, headers=headers)  # noqa: S310  (a server of our own)
    try:
        response = urllib.request.urlopen(request, timeout=60)  # noqa: S310
    except urllib.error.HTTPError as refusal:
        response = refusal
    with response:
        body = response.read().decode(errors="replace")
        told = {name: response.headers[name] for name in ("Content-Type", "Retry-After", "Location") if response.headers[name]}
    return {"status": response.status, "headers": told, "body": shape(body, told.get("Content-Type", ""))}


def shape(body: str, media_type: str) -> Any:
    """Path to types for JSON; the same over all events of a stream, and how that ends; the names in metrics."""
    if media_type.startswith("text/event-stream"):
        events = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
        return {"events": _merged([json.loads(event) for event in events if event != "[DONE]"]), "last": events[-1:] == ["[DONE]"]}
    if media_type.startswith("application/json"):
        return _merged([json.loads(body)])
    names = {line.partition("{")[0].partition(" ")[0] for line in body.splitlines() if line and not line.startswith("#")}
    return sorted(name for name in names if ":" in name and not name.endswith(("_bucket", "_created")))


def _merged(values: list[Any]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for value in values:
        for path, kind in _types(value, ""):
            found.setdefault(path, set()).add(kind)
    return {path: "|".join(sorted(kinds)) for path, kinds in sorted(found.items())}


def _types(value: Any, path: str) -> Iterator[tuple[str, str]]:
    yield path or ".", TYPES[type(value)]
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _types(inner, f"{path}.{name}")
    if isinstance(value, list):
        for inner in value:
            yield from _types(inner, f"{path}[]")


def recorded(kind: str) -> dict[str, Recording]:
    """What a real server of this kind answered."""
    return dict(json.loads((RECORDINGS / f"{kind}.json").read_text()))


def within(part: Any, whole: Any) -> bool:
    """Whether a shape holds nothing that the other one does not."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and within(inner, whole[name]) for name, inner in part.items())
    if isinstance(part, str) and isinstance(whole, str):
        return set(part.split("|")) <= set(whole.split("|"))
    return bool(part == whole)
