"""Consumes every dead-letter queue: records what was lost and why, so that the rest of the document is delivered."""

from __future__ import annotations

from escriba.ports import Ports
from escriba.stages.quarantine import quarantine
from lambdas.entry import Received, sqs_handler


def work(received: Received, ports: Ports) -> None:
    """Record one dead message."""
    quarantine(received.queue, received.message.message_id, received.message.body, ports)


handler = sqs_handler(work)
