"""The worker on queues in memory: what it takes it answers or gives back, and a page waits for a server that fails."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from escriba.errors import EngineUnavailable
from escriba.memory.clock import SystemClock
from escriba.ports import Delivery
from escriba.vision import Answer, Question
from gpu_service.held import Held
from gpu_service.worker import work
from tests.faults.harness import ObedientVision, document_of, outputs, pipeline, run
from tests.gpu.escalated import API, OURS, QUICK, escalated, own_ports, until, working


def test_hard_pages_go_to_the_service_and_are_read_there() -> None:
    """They wait in the vision queue, the worker reads them, and the document is whole."""
    model = ObedientVision()
    with escalated(model=model) as (made, job):
        with working(made):
            until(lambda: document_of(made, job).waiting == 0)
        assert made.queues["vision"].depth().total == 0
        run(made)
        document = document_of(made, job)
        assert (document.state, document.done, document.current) == ("DONE", 3, 1)
        assert len(model.asked) == 2
        assert "document.json" in outputs(made, job)


def test_a_page_waits_for_our_own_server() -> None:
    """It fails: the message is seen again soon, the page still waits, nothing is counted against it."""
    model = ObedientVision()
    model.mood = EngineUnavailable("gone")
    with escalated("h", model) as (made, job):
        [delivery] = made.queues["vision"].receive(1)
        assert 0 < work(delivery, own_ports(made)) < 30
        [row] = made.ports.ledger.pages(document_of(made, job).document_id)
        assert (row.state, row.attempts) == ("WAITING", 0)
        made.ports.clock.sleep(121)
        work(delivery, own_ports(made))  # no longer than its owner's patience
        [row] = made.ports.ledger.pages(document_of(made, job).document_id)
        assert row.state == "DEGRADED"


def test_a_page_that_is_not_believed_goes_on_to_the_next_queue() -> None:
    """Our own model is refused, the API's is asked; how long the page has waited is not forgotten on the way."""
    model = ObedientVision()
    with escalated("h", model, backends=(OURS, API), policy="[vision]\nattempts = 1") as (
        made,
        job,
    ):
        document = document_of(made, job)
        [before] = made.ports.ledger.pages(document.document_id)
        made.ports.clock.sleep(7)
        model.mood = "something else altogether"
        [delivery] = made.queues["vision"].receive(1)
        assert work(delivery, own_ports(made)) < 0
        [row] = made.ports.ledger.pages(document.document_id)
        assert (row.queue, row.state, row.escalated_at) == ("vision-api", "WAITING", before.escalated_at)
        model.mood = None
        made.queues["vision"].delete(delivery.receipt)
        run(made)
        [row] = made.ports.ledger.pages(document.document_id)
        assert (row.state, row.engine) == ("DONE", "qwen3-vl-8b")


def test_after_the_last_queue_the_cpu_reading_stands() -> None:
    """Nobody is left to ask: DEGRADED, once, without going round."""
    model = ObedientVision()
    model.mood = "something else altogether"
    with escalated("h", model, backends=(OURS, API), policy="[vision]\nattempts = 1") as (made, job):
        [delivery] = made.queues["vision"].receive(1)
        assert work(delivery, own_ports(made)) < 0
        made.queues["vision"].delete(delivery.receipt)
        run(made)
        assert document_of(made, job).degraded == 1
        assert len(model.asked) == 2


class Slow(ObedientVision):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()

    def ask(self, question: Question, seconds: float) -> Answer:
        answer = super().ask(question, seconds)
        assert self.may_answer.wait(20)
        return answer


def test_who_leaves_finishes_what_it_has_begun() -> None:
    """SIGTERM in the middle of two pages: no more are taken, both are read, their messages are gone."""
    model = Slow()
    with escalated("hhhhhh", model) as (made, job):
        with working(made) as worker:
            until(lambda: len(model.asked) == 2)
            until(lambda: worker.held == 3)  # two are asked, one is ready
            worker.leave()
            time.sleep(0.1)
            model.may_answer.set()
        assert document_of(made, job).done == 3
        assert made.queues["vision"].depth().visible == 3
        assert made.queues["vision"].depth().in_flight == 0


def test_what_cannot_be_finished_is_given_back_at_once() -> None:
    """The server hangs and the time is up: the messages are visible again without waiting for their timeout."""
    model = Slow()
    with escalated("hh", model) as (made, job):
        with working(made, limits=replace(QUICK, stop=0.2)) as worker:
            until(lambda: len(model.asked) == 2)
            began = time.monotonic()
            worker.leave()
            until(lambda: made.queues["vision"].depth().visible == 2, 5)
            assert time.monotonic() - began < 3
            model.may_answer.set()
        assert document_of(made, job).state == "READING"


def test_nothing_is_taken_while_the_server_is_away() -> None:
    """No receive is burned on a page that nobody could read."""
    well = threading.Event()
    with escalated("h") as (made, job), working(made, ready=well.is_set):
        time.sleep(0.2)
        assert made.queues["vision"].depth().visible == 1
        well.set()
        until(lambda: document_of(made, job).waiting == 0)


def test_messages_stay_hidden_while_they_are_worked_on() -> None:
    """Longer than the queue hides them: the heartbeat hides them anew, and nobody else receives them."""
    model = Slow()
    with escalated("h", model) as (made, _):
        object.__setattr__(made.ports, "clock", SystemClock())
        queue = made.queues["vision"]
        queue._clock = SystemClock()  # type: ignore[attr-defined]
        for message in queue._messages.values():  # type: ignore[attr-defined]
            message.visible_at = 0.0
        queue._spec = replace(queue._spec, visibility=1.0)  # type: ignore[attr-defined]
        with working(made, limits=replace(QUICK, visibility=1.0)):
            until(lambda: len(model.asked) == 1)
            end = time.monotonic() + 2.5
            while time.monotonic() < end:
                assert queue.receive(1) == []
                time.sleep(0.05)
            model.may_answer.set()
            until(lambda: queue.depth().total == 0)


def test_the_heartbeat_outlives_a_failure() -> None:
    """AWS answers what nobody has thought of, once: the messages are hidden again at the next beat."""
    with pipeline() as made:
        queue, beats = made.queues["vision"], list[int]()

        def hide(receipts: object, seconds: int) -> None:
            beats.append(seconds)
            if len(beats) == 1:
                raise RuntimeError

        queue.hide = hide  # type: ignore[method-assign]
        held = Held(queue, made.ports.meter, 0.06)
        held.add(Delivery("1", "receipt", "{}", 1))
        held.start()
        until(lambda: len(beats) >= 3)
        held.end()
        assert [event for _, event, _ in made.ports.meter.events] == ["messages not hidden"]  # type: ignore[attr-defined]


def test_the_main_loop_outlives_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A permission is missing: it says so in AWS's words, waits, and reads on once it may."""
    monkeypatch.setattr("gpu_service.worker._AGAIN_LATER", 0.05)
    answer = {"Error": {"Code": "AccessDenied", "Message": "not authorized to perform sqs:ReceiveMessage"}}
    with escalated("h") as (made, job):
        queue, refusals = made.queues["vision"], list[int]()
        receive = queue.receive

        def refused(most: int, *, wait: int = 0) -> list[Delivery]:
            if len(refusals) < 2:
                refusals.append(most)
                raise ClientError(answer, "ReceiveMessage")
            return receive(most, wait=wait)

        queue.receive = refused  # type: ignore[method-assign]
        with working(made):
            until(lambda: document_of(made, job).waiting == 0)
        told = [more["reason"] for _, event, more in made.ports.meter.events if event == "vision queue not read"]  # type: ignore[attr-defined]
        assert len(told) == 2
        assert "not authorized to perform sqs:ReceiveMessage" in told[0]


def test_a_message_that_nobody_understands_is_left_for_the_dead_letters() -> None:
    """It is never deleted, and says so once a receive."""
    with escalated("h") as (made, job):
        made.queues["vision"].send(["{}"])
        with working(made):
            until(lambda: document_of(made, job).waiting == 0)
            until(lambda: made.ports.meter.counts["MessagesFailed"] >= 1)  # type: ignore[attr-defined]
        assert made.queues["vision"].depth().total == 1


def test_a_page_that_fails_itself_is_given_up_after_three_failures() -> None:
    """A defect of ours on one page: its message ends among the dead letters, from where its CPU reading is kept."""

    class Broken(ObedientVision):
        def ask(self, question: Question, seconds: float) -> Answer:
            raise RuntimeError

    with escalated("h", Broken()) as (made, _):
        [delivery] = made.queues["vision"].receive(1)
        for _ in range(2):
            with pytest.raises(RuntimeError):
                work(delivery, own_ports(made))
        assert work(delivery, own_ports(made)) < 0
        assert made.queues["vision-dlq"].depth().visible == 1
        made.queues["vision"].delete(delivery.receipt)
        run(made)
        assert made.queues["vision-dlq"].depth().total == 0


class Patient(ObedientVision):
    """Answers as often as it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = threading.Semaphore(0)

    def ask(self, question: Question, seconds: float) -> Answer:
        self.let.acquire()
        return super().ask(question, seconds)


def test_the_queue_is_asked_when_several_places_are_free() -> None:
    """Not for every single one: each request costs the worker as much as a page's share of anything else, and money."""
    model = Patient()
    with escalated("h" * 9, model) as (made, job):
        queue = made.queues["vision"]
        with working(made, limits=replace(QUICK, ahead=4, most=16)) as worker:
            until(lambda: worker.held == 6)
            assert queue.depth().visible == 3
            model.let.release()
            until(lambda: worker.held == 5)
            time.sleep(0.3)
            assert (worker.held, queue.depth().visible) == (5, 3)
            model.let.release()
            until(lambda: (worker.held, queue.depth().visible) == (6, 1))
            model.let.release(16)
            until(lambda: document_of(made, job).waiting == 0)
