"""Merges a document's pages into its outputs, page by page, and makes the new revision the current one."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from escriba.document import Page
from escriba.formats.outputs import CONTENT_TYPES, OutputWriter
from escriba.formats.usage import usage_json
from escriba.identity import output_prefix
from escriba.layout.headings import FontCensus, promote
from escriba.ledger import DocumentRow, DocumentState, PagesRow
from escriba.messages import DocumentReady
from escriba.policy import Policy
from escriba.ports import Ports
from escriba.stages import announce

_PAGES = msgspec.json.Decoder(tuple[Page, ...])


def assemble(message: DocumentReady, ports: Ports) -> None:
    """Write the revision's outputs under its own prefix, then move `current` forward; an older revision can no longer do so."""
    document = ports.ledger.begin_assembly(message.document_id, message.revision)
    if document is None:
        _answer_again(message, ports)
        return
    rows = list(ports.ledger.pages(document.document_id))
    with tempfile.TemporaryDirectory(dir=ports.scratch.parent) as name:
        directory = Path(name)
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
    # Two passes over the stored pages, one in memory at a time: headings are decided by the sizes of the whole document.
    census = FontCensus()
    for page in _read_pages(rows, ports):
        census.add(page)
    policy = Policy.model_validate_json(document.policy)
    with OutputWriter(directory, document.sha256, document.media_type, policy) as writer:
        for page in _read_pages(rows, ports):
            writer.add(promote(page, census))
    (directory / "usage.json").write_bytes(usage_json(document, rows))


def _read_pages(rows: list[PagesRow], ports: Ports) -> Iterator[Page]:
    for row in rows:
        if row.result_key:
            yield from _PAGES.decode(gzip.decompress(ports.results.get(row.result_key)))
            continue
        for number in range(row.first, row.last + 1):
            yield Page(number=number, width=0, height=0, route=row.route, engine="", state="QUARANTINED", reason=row.reason)
