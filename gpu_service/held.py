"""The messages that this worker has taken and not yet answered: hidden from others while it lives, given back when it goes."""

from __future__ import annotations

import threading

from escriba.ports import Delivery, Meter, Queue


class Held:
    """Thread-safe. `visibility` is the queue's, in seconds: every third of it the messages are hidden anew."""

    def __init__(self, queue: Queue, meter: Meter, visibility: float) -> None:
        self._queue, self._meter, self._visibility = queue, meter, visibility
        self._receipts: dict[str, str] = {}
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin the heartbeat."""
        self._thread.start()

    def __len__(self) -> int:
        return len(self._receipts)

    def add(self, delivery: Delivery) -> None:
        """Take a message into care."""
        with self._changed:
            self._receipts[delivery.message_id] = delivery.receipt

    def drop(self, delivery: Delivery) -> None:
        """Answered, one way or the other."""
        with self._changed:
            self._receipts.pop(delivery.message_id, None)
            self._changed.notify_all()

    def wait_until_fewer(self, than: int, seconds: float) -> bool:
        """Whether there are fewer messages than so many, after at most so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._receipts) < than, seconds)

    def give_back(self) -> int:
        """Let others see what is still held, at once; how many that was."""
        with self._changed:
            receipts = list(self._receipts.values())
            self._receipts.clear()
        if receipts:
            self._hide(receipts, 0)
        return len(receipts)

    def end(self) -> None:
        """End the heartbeat."""
        self._ended.set()

    def _beat(self) -> None:
        while not self._ended.wait(self._visibility / 3):
            with self._changed:
                receipts = list(self._receipts.values())
            if receipts:
                self._hide(receipts, round(self._visibility))

    def _hide(self, receipts: list[str], seconds: int) -> None:
        try:
            self._queue.hide(receipts, seconds)
        except Exception as error:  # noqa: BLE001  (the heartbeat must outlive whatever AWS answers)
            # They are seen again when their time is up: read twice, at worst, and recorded once.
            self._meter.log("warning", "messages not hidden", messages=len(receipts), error=type(error).__name__)
