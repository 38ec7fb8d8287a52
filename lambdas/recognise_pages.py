"""Consumes the pages queue: reads text layers and runs CPU OCR; after the last failure of a page it sends it to the dead letters."""

from __future__ import annotations

from escriba.errors import EngineOutOfMemory, EngineTimeout, EngineUnavailable, MessageError
from escriba.messages import PagesRequested, decode
from escriba.ports import Ports
from escriba.stages.recognise import give_up, recognise
from lambdas.entry import Received, sqs_handler

_AGAIN = 30
"""Seconds after which a page that failed is tried again."""


def work(received: Received, ports: Ports) -> None:
    """Read the pages of one message."""
    message = decode(received.message.body)
    if not isinstance(message, PagesRequested):
        raise MessageError(f"the pages queue carries no {message.detail_type!r}")
    try:
        recognise(message, received.message.receives, ports)
    except Exception as error:
        if not give_up(message, error, "pages", ports):
            if isinstance(error, EngineUnavailable | EngineTimeout | EngineOutOfMemory):
                # It is the page's own fault: nothing is won by waiting, as there is when AWS fails.
                ports.queues["pages"].change_visibility(received.message.receipt, _AGAIN)
            raise


handler = sqs_handler(work)
