"""Consumes the assemble queue: merges a document whose pages are all accounted for into its outputs."""

from __future__ import annotations

from escriba.errors import MessageError
from escriba.messages import DocumentReady, decode
from escriba.ports import Ports
from escriba.stages.assemble import assemble
from lambdas.entry import Received, sqs_handler


def work(received: Received, ports: Ports) -> None:
    """Assemble one revision of one document."""
    message = decode(received.message.body)
    if not isinstance(message, DocumentReady):
        raise MessageError(f"the assemble queue carries no {message.detail_type!r}")
    assemble(message, ports)


handler = sqs_handler(work)
