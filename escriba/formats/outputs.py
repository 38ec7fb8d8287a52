"""Writes a document's deterministic outputs as streams, a page at a time, so that length costs no memory."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from escriba.document import SCHEMA_VERSION, Document, Page
from escriba.formats.chunks import Chunk, Chunker
from escriba.formats.markdown import page_markdown, page_text
from escriba.policy import Policy

CONTENT_TYPES = {
    ".md": "text/markdown; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".pdf": "application/pdf",
}
_ENCODER = msgspec.json.Encoder()


class OutputWriter:
    """Writes `document.md`, `document.txt`, `document.json` and `chunks.jsonl` into a directory; pages are added in order.

    Nothing but content and policy goes in: no job, revision, attempt or time, so that two runs give the same bytes.
    """

    def __init__(self, directory: Path, sha256: str, media_type: str, policy: Policy) -> None:
        self._stack = ExitStack()
        self._chunker = Chunker(sha256, policy.chunks.target_tokens)
        self._chunks = self._stack.enter_context((directory / "chunks.jsonl").open("wb"))
        self._markdown, self._text, self._json = (
            self._stack.enter_context((directory / f"document.{suffix}").open("wb")) for suffix in ("md", "txt", "json")
        )
        empty = Document(schema_version=SCHEMA_VERSION, sha256=sha256, media_type=media_type, languages=policy.languages, pages=())
        self._json.write(_ENCODER.encode(empty).removesuffix(b"]}"))
        self._separator = b"\n"

    def add(self, page: Page) -> None:
        """Append one page to every output."""
        self._markdown.write(page_markdown(page).encode())
        self._text.write(page_text(page).encode())
        self._json.write(self._separator + _ENCODER.encode(page))
        self._separator = b",\n"
        self._write_chunks(self._chunker.add(page))

    def _write_chunks(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            self._chunks.write(_ENCODER.encode(chunk) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self._json.write(b"\n]}\n")
            self._write_chunks(self._chunker.end())
        self._stack.close()


def document_schema() -> dict[str, object]:
    """The JSON Schema of `document.json`."""
    return msgspec.json.schema(Document)


if __name__ == "__main__":
    import sys

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document_schema()), indent=2).decode() + "\n")
