"""Consumes the vision-api queue: has hard pages read by a vision model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from escriba.errors import MessageError, VisionAway
from escriba.messages import VisionRequested, decode
from escriba.ports import Ports
from escriba.stages.read_vision import read_vision
from escriba.stages.recognise import give_up
from lambdas.entry import Received, sqs_handler

_AGAIN = 900
"""Seconds after which a page that can wait asks again for a model that was not to be had: twenty times, which is longer than it may wait."""


def work(received: Received, ports: Ports) -> None:
    """Read the page of one message better."""
    message = decode(received.message.body)
    if not isinstance(message, VisionRequested):
        raise MessageError(f"the vision-api queue carries no {message.detail_type!r}")
    try:
        read_vision(message, ports)
    except VisionAway:
        ports.queues["vision-api"].change_visibility(received.message.receipt, _AGAIN)
        raise
    except Exception as error:
        if not give_up(message, error, "vision-api", ports):
            raise


handler = sqs_handler(work)
