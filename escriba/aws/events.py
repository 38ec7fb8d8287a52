"""An event bus on EventBridge."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from escriba.aws.failures import aws_failures
from escriba.errors import Throttled
from escriba.messages import SOURCE, Message

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient


class EventBridgeBus:
    """Implements `ports.EventBus`."""

    def __init__(self, client: EventBridgeClient, bus: str) -> None:
        self._client, self._bus = client, bus

    def publish(self, message: Message) -> None:
        entry = {
            "EventBusName": self._bus,
            "Source": SOURCE,
            "DetailType": message.detail_type,
            "Time": message.sent_at,
            "Detail": json.dumps(message.model_dump(mode="json"), sort_keys=True),
        }
        with aws_failures("publishing an event"):
            answer = self._client.put_events(Entries=[entry])  # type: ignore[list-item]
        if answer["FailedEntryCount"]:
            raise Throttled("publishing an event: EventBridge refused it")
