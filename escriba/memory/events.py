"""An event bus that keeps what was published."""

from __future__ import annotations

from escriba.messages import Message


class MemoryEventBus:
    """Implements `ports.EventBus`."""

    def __init__(self) -> None:
        self.published: list[Message] = []

    def publish(self, message: Message) -> None:
        self.published.append(message)
