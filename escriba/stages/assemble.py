"""Merges a document's pages into its outputs, page by page, and makes the new revision the current one."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from escriba.document import Page
from escriba.errors import EscribaError, NotFound, PermanentError
from escriba.formats.outputs import CONTENT_TYPES, OutputWriter
from escriba.formats.usage import usage_json
from escriba.identity import output_prefix, plain_copy_key
from escriba.layout.structure import Census, structured
from escriba.ledger import DocumentRow, DocumentState, PagesRow
from escriba.messages import DocumentReady
from escriba.policy import Policy
from escriba.ports import Ports
from escriba.stages import announce
from escriba.stages.scratch import fetch

_TRIES = 2  # a PDF that takes too long or too much once will do so again
_ENCODER = msgspec.json.Encoder()
_PAGES = msgspec.json.Decoder(tuple[Page, ...])


def assemble(message: DocumentReady, ports: Ports) -> None:
    """Write the revision's outputs under its own prefix, then move `current` forward; an older revision can no longer do so."""
    document = ports.ledger.begin_assembly(message.document_id, message.revision)
    if document is None:
        _answer_again(message, ports)
        return
    rows = list(ports.ledger.pages(document.document_id))
    with tempfile.TemporaryDirectory(dir=ports.scratch.parent) as name:
        directory = Path(name) / "outputs"
        directory.mkdir()
        _write(directory, document, rows, ports)
        prefix = output_prefix(document.tenant, document.document_id, message.revision)
        for path in sorted(directory.iterdir()):
            ports.results.upload(path, prefix + path.name, content_type=CONTENT_TYPES[path.suffix])
    state: DocumentState = "PARTIAL" if any(row.state == "QUARANTINED" for row in rows) else "DONE"
    published = ports.ledger.publish(document.document_id, message.revision, state)
    if published is not None:
        announce.completed(published, ports)


def _answer_again(message: DocumentReady, ports: Ports) -> None:
    """The revision stands already: only the event may have been lost."""
    document = ports.ledger.document(message.document_id)
    if document.current == message.revision:
        announce.completed(document, ports)


def _write(directory: Path, document: DocumentRow, rows: list[PagesRow], ports: Ports) -> None:
    # Two passes over the stored pages, one in memory at a time: what is a heading or a running header only the whole document tells.
    census = Census()
    for page in _read_pages(rows, ports):
        census.add(page)
    policy = Policy.model_validate_json(document.policy)
    recognised, by_vision = directory.parent / "recognised.jsonl", set[int]()
    with OutputWriter(directory, document.sha256, document.media_type, policy) as writer, recognised.open("wb") as ocr:
        for page in _read_pages(rows, ports):
            writer.add(structured(page, census))
            if page.route != "text_layer":
                ocr.write(_ENCODER.encode(page) + b"\n")
            if page.route == "vision":
                by_vision.add(page.number)
    _write_pdf(directory / "document.pdf", document, policy, recognised, ports)
    (directory / "usage.json").write_bytes(usage_json(document, rows, by_vision))


def _write_pdf(out: Path, document: DocumentRow, policy: Policy, recognised: Path, ports: Ports) -> None:
    """The searchable PDF; a document that cannot be written again goes without, for its text is safe."""
    try:
        path = fetch(plain_copy_key(document.document_id), ports)
    except NotFound:
        path = fetch(document.original_key, ports)
    for _ in range(_TRIES):
        try:
            ports.reader.write_pdf(path, policy, recognised, out, document.total)
        except EscribaError as error:
            out.unlink(missing_ok=True)
            ports.meter.log("warning", "no searchable PDF", document_id=document.document_id, reason=str(error))
            ports.meter.count("SearchablePdfsMissing")
            if isinstance(error, PermanentError):
                return
        else:
            return


def _read_pages(rows: list[PagesRow], ports: Ports) -> Iterator[Page]:
    for row in rows:
        if row.result_key:
            for page in _PAGES.decode(gzip.decompress(ports.results.get(row.result_key))):
                # A page that waited for a better reading in vain was read as one that ends otherwise.
                yield msgspec.structs.replace(page, state=row.state, reason=row.reason)
            continue
        for number in range(row.first, row.last + 1):
            yield Page(number=number, width=0, height=0, route=row.route, engine="", state="QUARANTINED", reason=row.reason)
