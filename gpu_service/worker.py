"""Reads the pages of the vision queue: startup, main loop, drain. Whatever happens to it, a page is in the ledger or its message is in the queue."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from escriba.backends import OURS, Backend
from escriba.document import Urgency
from escriba.errors import EscribaError, MessageError, RetryableError, VisionAway
from escriba.messages import VisionRequested, decode
from escriba.ports import Delivery, Ports, Queue
from escriba.stages.read_vision import read_vision
from escriba.stages.recognise import give_up
from escriba.vision import Answer, Question, VisionModel
from gpu_service.admission import Admission
from gpu_service.held import Held

_AT_ONCE = 10  # messages of one receive
_REST = 0.05  # seconds between two looks while nothing may be taken
DONE = -1
_AGAIN_SOON, _AGAIN_LATER = 5, 30  # seconds after which a message is seen again: its server fails or is full, or it failed itself


class Ready(Protocol):
    """Says whether the vision server can be asked now."""

    def __call__(self) -> bool: ...


class Protect(Protocol):
    """Hears whether the worker holds work."""

    def __call__(self, *, busy: bool) -> None: ...


def unprotected(*, busy: bool) -> None:
    """Where nobody wants to know."""


@dataclass(frozen=True)
class Limits:
    """How far a worker goes.

    `ahead` messages are taken beyond what the server is asked at once, and their pages rendered; `most` in all. Seconds: `stop` for a drain, `visibility`
    as the queue has it, `poll` for which a receive waits.
    """

    ahead: int = 8
    most: int = 512
    stop: float = 90.0
    visibility: float = 120.0
    poll: int = 5


class Worker:
    """One task's worker. `protect` hears whether it holds work, and keeps the task from being scaled in meanwhile."""

    def __init__(
        self,
        ports: Ports,
        admission: Admission,
        ready: Ready,
        *,
        limits: Limits | None = None,
        protect: Protect = unprotected,
    ) -> None:
        self._ports, self._admission, self._ready, self._protect = ports, admission, ready, protect
        self._limits = limits or Limits()
        self._queue: Queue = ports.queues[OURS]
        self._held = Held(self._queue, ports.meter, self._limits.visibility)
        self._threads = ThreadPoolExecutor(self._limits.most, "page")
        self._own = threading.local()
        self._leaving = threading.Event()
        # Not a request for every message: while half of those taken ahead are still there, the server has its next ones.
        self._enough = max(1, self._limits.ahead // 2)

    def leave(self) -> None:
        """Take no more messages, and end when those in hand are answered; for signal handlers and other threads."""
        self._leaving.set()

    @property
    def held(self) -> int:
        """Messages in hand."""
        return len(self._held)

    def run(self) -> int:
        """Work until told to leave; how many messages were given back unanswered."""
        self._held.start()
        self._ports.meter.log("info", "gpu worker started", at_once=self._admission.limit)
        while not self._leaving.is_set():
            room = self._room() if self._ready() else 0
            if room < self._enough:
                self._leaving.wait(_REST)
            else:
                self._take(min(room, _AT_ONCE))
        return self._drain()

    def _room(self) -> int:
        wanted = min(self._limits.most, self._admission.limit + self._limits.ahead)
        return wanted - len(self._held)

    def _take(self, room: int) -> None:
        try:
            deliveries = self._queue.receive(room, wait=self._limits.poll)
        except Exception as error:  # noqa: BLE001  (a permission or a key withdrawn may come back; a worker that ended would be rented again and again)
            # A receive carries no document text, so that AWS's own sentence may be told: it names what is missing.
            self._ports.meter.log("error", "vision queue not read", error=type(error).__name__, reason=str(error))
            self._leaving.wait(_AGAIN_SOON if isinstance(error, RetryableError) else _AGAIN_LATER)
            return
        for delivery in deliveries:
            self._held.add(delivery)
            if delivery.receives > 1:
                self._ports.meter.log("info", "message taken again", message_id=delivery.message_id, receives=delivery.receives)
        self._protect(busy=self.held > 0)
        for delivery in deliveries:
            self._threads.submit(self._answer, delivery)

    def _drain(self) -> int:
        end = time.monotonic() + self._limits.stop
        self._ports.meter.log("info", "gpu worker leaves", held=self.held)
        self._held.wait_until_fewer(1, max(0.0, end - time.monotonic()))
        left = self._held.give_back()
        self._held.end()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._protect(busy=False)
        self._ports.meter.log("info", "gpu worker left", given_back=left)
        self._ports.meter.flush()
        return left

    # --- in a thread of its own, one message after the other ---------------------------------------------------------

    def _answer(self, delivery: Delivery) -> None:
        """Read one page and answer its message; a message that is not deleted here is seen again."""
        again = _AGAIN_LATER
        try:
            again = work(delivery, self._own_ports(), self._admission)
        except Exception as error:  # noqa: BLE001  (a message that fails is tried again, whatever it was)
            self._failed(delivery, error)
        try:
            if again == DONE:
                self._queue.delete(delivery.receipt)
            else:
                self._queue.change_visibility(delivery.receipt, again)
        except Exception as error:  # noqa: BLE001  (it is seen again, and found done)
            self._ports.meter.log("warning", "message not answered", message_id=delivery.message_id, error=type(error).__name__)
        finally:
            self._held.drop(delivery)  # not before: a drain ends when nothing is held

    def _failed(self, delivery: Delivery, error: Exception) -> None:
        self._ports.meter.count("MessagesFailed")
        # Only our own sentences are known to hold no document text.
        reason = str(error) if isinstance(error, EscribaError) else ""
        self._ports.meter.log("error", "message failed", message_id=delivery.message_id, error=type(error).__name__, reason=reason)

    def _own_ports(self) -> Ports:
        """The ports with a folder of this thread's own."""
        if not hasattr(self._own, "ports"):
            self._own.ports = replace(self._ports, scratch=Path(tempfile.mkdtemp(dir=self._ports.scratch)))
        ports: Ports = self._own.ports
        return ports


def work(delivery: Delivery, ports: Ports, admission: Admission | None = None) -> int:
    """Read the page of one message better; the seconds after which the message is to be seen again, or `DONE`.

    With an `admission` the model is asked when the page's turn has come. Raises what failed, and `MessageError` for what is no such message.
    """
    message = decode(delivery.body)
    if not isinstance(message, VisionRequested):
        raise MessageError(f"the {OURS} queue carries no {message.detail_type!r}")
    if admission is not None:
        ports = replace(ports, vision=_in_turn(ports, admission, message.urgency))
    try:
        read_vision(message, ports)
    except VisionAway:
        return _AGAIN_SOON
    except Exception as error:
        if not give_up(message, error, OURS, ports):
            raise
    return DONE


def _in_turn(ports: Ports, admission: Admission, urgency: Urgency) -> Callable[[Backend], VisionModel]:
    return lambda backend: _Admitted(ports.vision(backend), admission, urgency)


class _Admitted:
    """A model asked in turn. Implements `vision.VisionModel`."""

    def __init__(self, model: VisionModel, admission: Admission, urgency: Urgency) -> None:
        self._model, self._admission, self._urgency = model, admission, urgency

    def count_tokens(self, text: str, model: str = "", seconds: float = 10.0) -> int | None:
        return self._model.count_tokens(text, model, seconds)

    def ask(self, question: Question, seconds: float) -> Answer:
        began = time.monotonic()
        with self._admission.turn(self._urgency, seconds):
            return self._model.ask(question, max(0.1, seconds - (time.monotonic() - began)))
