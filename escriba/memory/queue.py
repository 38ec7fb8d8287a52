"""An SQS standard queue in memory: visibility timeouts, receive counts, delays and redrive, on any clock."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from uuid import uuid4

from escriba.ports import Clock, Delivery, Depth
from escriba.topology import QueueSpec


@dataclass
class _Message:
    message_id: str
    body: str
    visible_at: float
    sent_at: float
    receives: int = 0
    receipt: str = ""
    delayed: bool = False


class MemoryQueue:
    """Implements `ports.Queue`. With `disorder`, messages come in any order and now and then twice, as a standard queue may."""

    def __init__(
        self, spec: QueueSpec, clock: Clock, dead_letters: MemoryQueue | None = None, *, disorder: random.Random | None = None
    ) -> None:
        self._spec, self._clock, self._dead_letters, self._disorder = spec, clock, dead_letters, disorder
        self._messages: dict[str, _Message] = {}
        self._receipts: dict[str, str] = {}
        self._lock = threading.RLock()

    @property
    def name(self) -> str:
        return self._spec.name

    def send(self, bodies: Sequence[str], *, delay: int = 0, tenant: str = "") -> None:
        with self._lock:
            for body in bodies:
                copies = 2 if self._disorder and self._disorder.random() < 0.2 else 1  # noqa: PLR2004
                for _ in range(copies):
                    message = _Message(str(uuid4()), body, self._now() + delay, self._now(), delayed=delay > 0)
                    self._messages[message.message_id] = message

    def receive(self, limit: int, *, wait: int = 0) -> Sequence[Delivery]:
        if wait and not self.depth().visible:
            self._clock.sleep(wait)
        with self._lock:
            now = self._now()
            visible = (message for message in self._messages.values() if message.visible_at <= now)
            chosen = list(islice(visible, None if self._disorder else limit))
            if self._disorder:
                self._disorder.shuffle(chosen)
            return [delivery for message in chosen[:limit] if (delivery := self._hand_out(message)) is not None]

    def _hand_out(self, message: _Message) -> Delivery | None:
        message.delayed = False
        if self._dead_letters is not None and message.receives >= self._spec.max_receives:
            # SQS redrives when one more receive than allowed would happen, not when the last allowed one fails.
            del self._messages[message.message_id]
            self._receipts.pop(message.receipt, None)
            self._dead_letters.send([message.body])
            return None
        message.receives += 1
        self._receipts.pop(message.receipt, None)
        message.receipt = str(uuid4())
        self._receipts[message.receipt] = message.message_id
        message.visible_at = self._now() + self._spec.visibility
        return Delivery(message.message_id, message.receipt, message.body, message.receives)

    def delete(self, receipt: str) -> None:
        with self._lock:
            if (message_id := self._receipts.pop(receipt, None)) is not None:
                del self._messages[message_id]

    def change_visibility(self, receipt: str, seconds: int) -> None:
        with self._lock:
            if (message_id := self._receipts.get(receipt)) is not None:
                self._messages[message_id].visible_at = self._now() + seconds

    def hide(self, receipts: Sequence[str], seconds: int) -> None:
        for receipt in receipts:
            self.change_visibility(receipt, seconds)

    def depth(self) -> Depth:
        with self._lock:
            hidden = [message for message in self._messages.values() if message.visible_at > self._now()]
            delayed = sum(message.delayed for message in hidden)
            return Depth(len(self._messages) - len(hidden), len(hidden) - delayed, delayed)

    def oldest(self) -> float | None:
        with self._lock:
            return max((self._now() - message.sent_at for message in self._messages.values()), default=0.0)

    def _now(self) -> float:
        return self._clock.now().timestamp()
