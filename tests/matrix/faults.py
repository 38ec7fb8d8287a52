"""The faults, one function each: it breaks something in the world and returns what heals it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from escriba.alarms import TABLE
from escriba.errors import Conflict, EngineTimeout, EngineUnavailable, RetryableError, Throttled
from escriba.local.dispatcher import NeverReturned
from escriba.memory.ledger import MemoryLedger
from tests.matrix.world import MINUTE, SERVICE, World

Heal = Callable[[], None]
NONSENSE = "Era uma vez um gato que tocava piano e falava com toda a gente da rua, e ninguem lhe respondia. " * 3
ATTEMPTS = 5
"""Calls that boto3 makes before it gives up: each is a throttle event of DynamoDB's."""


@dataclass(frozen=True)
class Fault:
    """`minutes` it lasts; `redriven` when its victims need the documented redrive; `every` how often something is uploaded meanwhile.

    `cap` is how often a page may be read at most; `upload` what comes in instead of the ordinary documents; `honest` false where the
    ledger itself is broken on purpose; `gpu` where the GPU service reads the hard pages.
    """

    name: str
    begin: Callable[[World], Heal]
    minutes: float = 60
    redriven: bool = False
    every: float = 300
    upload: Callable[[World], object] | None = None
    cap: int = 3
    honest: bool = True
    gpu: bool = False


class Faulty:
    """A port some of whose calls fail: `fail(name)` raises, or returns for the call to go through to what stands `behind`."""

    def __init__(self, behind: Any, fail: Callable[[str], None], *, after: bool = False) -> None:
        self.behind, self._fail, self._after = behind, fail, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.behind, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._after:
                answer = found(*args, **kwargs)
                self._fail(name)
                return answer
            self._fail(name)
            return found(*args, **kwargs)

        return call


def _ports(world: World, **ports: Any) -> Heal:
    before = {name: getattr(world.ports, name) for name in ports}
    world.put_on(**ports)
    return lambda: world.put_on(**before)


def _handler(world: World, name: str, handler: Callable[[Any, Any], Any]) -> Heal:
    whole = world.simulation.handlers[name]
    world.simulation.handlers[name] = handler
    return lambda: world.simulation.handlers.update({name: whole})


def _never_returns(event: Any, context: Any) -> Any:
    raise NeverReturned


def event_never_delivered(world: World) -> Heal:
    world.inbox.silent = True
    return lambda: setattr(world.inbox, "silent", False)


def split_crashes(world: World) -> Heal:
    return _handler(world, "split_document", _never_returns)


def split_times_out(world: World) -> Heal:
    whole = world.simulation.duration
    world.simulation.duration = lambda spec, deliveries: spec.timeout if spec.name == "split_document" else whole(spec, deliveries)
    return lambda: setattr(world.simulation, "duration", whole)


def disabled(*functions: str) -> Callable[[World], Heal]:
    def begin(world: World) -> Heal:
        world.simulation.disabled |= set(functions)
        return lambda: world.simulation.disabled.difference_update(functions)

    return begin


def recognise_throttled(world: World) -> Heal:
    world.simulation.throttled.add("recognise_pages")
    return world.simulation.throttled.clear


def out_of_memory(world: World) -> Heal:
    world.reader.greedy.add(7)
    world.upload("ttttttot")
    return world.reader.greedy.clear


def poison_page(world: World) -> Heal:
    world.reader.deadly.add(7)
    world.upload("ttttttot")
    return world.reader.deadly.clear


def poison_document(world: World) -> Heal:
    whole = world.simulation.handlers["split_document"]

    def split(event: Any, context: Any) -> Any:
        if poison in event["Records"][0]["body"]:
            raise NeverReturned
        return whole(event, context)

    heal = _handler(world, "split_document", split)
    poison = f"document {len(world.jobs)}.pdf"
    world.upload()
    return heal


def ledger_throttled(world: World) -> Heal:
    def throttle(_: str) -> None:
        world.store.add("AWS/DynamoDB", "WriteThrottleEvents", ATTEMPTS, world.simulation.now, TableName=TABLE)
        raise Throttled("writing the ledger: AWS asked to slow down")

    return _ports(world, ledger=Faulty(world.ports.ledger, throttle), recovery=Faulty(world.ports.recovery, throttle))


def ledger_conflicts(world: World) -> Heal:
    chance = random.Random(1)

    def conflict(name: str) -> None:
        if name in {"accept", "add_pages", "planned", "escalate", "complete", "publish", "begin_assembly"} and chance.random() < 0.3:
            raise Conflict("a ledger write lost its race 60 times")

    return _ports(world, ledger=Faulty(world.ports.ledger, conflict))


def results_bucket_failing(world: World) -> Heal:
    def fail(name: str) -> None:
        raise RetryableError(f"{name}: AWS could not be reached (EndpointConnectionError)")

    return _ports(world, results=Faulty(world.ports.results, fail))


def assemble_crashes(world: World) -> Heal:
    def die(name: str) -> None:
        if name == "publish":
            raise NeverReturned

    return _ports(world, ledger=Faulty(world.ports.ledger, die))


def messages_duplicated(world: World) -> Heal:
    return world.change_sends(lambda bodies: [*bodies, *bodies])


def messages_lost(world: World) -> Heal:
    chance = random.Random(3)
    return world.change_sends(lambda bodies: [body for body in bodies if chance.random() >= 0.1])


def ten_times_slower(world: World) -> Heal:
    world.slow = 10.0
    return lambda: setattr(world, "slow", 1.0)


def nothing(world: World) -> Heal:
    return lambda: None


def quarantine_fails(world: World) -> Heal:
    def fail(event: Any, context: Any) -> Any:
        raise RuntimeError

    heals = [_handler(world, "quarantine", fail), poison_page(world)]
    return lambda: [heal() for heal in heals] and None


def completions_lost(world: World) -> Heal:
    """Readings cannot be recorded, nor can failures be counted: each message is read as often as it is received."""

    class Forgetful(Faulty):
        def count_failure(self, *_: object) -> int:
            return 0

    def conflict(name: str) -> None:
        if name == "complete":
            raise Conflict("a ledger write lost its race 60 times")

    return _ports(world, ledger=Forgetful(world.ports.ledger, conflict))


def counter_wrong(world: World) -> Heal:
    """One document's counter is wrong, as only a defect could make it."""
    ledger = world.ports.ledger
    assert isinstance(ledger, MemoryLedger)
    world.upload()
    world.simulation.run(MINUTE)
    from msgspec.structs import replace

    document = world.documents()[-1]
    assert document is not None
    right = document.done
    ledger._documents[document.document_id] = replace(ledger.document(document.document_id), done=right + 1)

    def heal() -> None:
        ledger._documents[document.document_id] = replace(ledger.document(document.document_id), done=right)

    return heal


def canary_wrong(world: World) -> Heal:
    world.reader.deaf = True
    return lambda: setattr(world.reader, "deaf", False)


def expensive_pages(world: World) -> Heal:
    world.ocr_seconds = 90
    world.upload("o" * 2500)
    return lambda: setattr(world, "ocr_seconds", 10)


def _faded(world: World) -> object:
    return world.upload("ooo", faded=True)


def vision(mood: Exception | str) -> Callable[[World], Heal]:
    """The vision model fails, or answers this whatever it is asked."""

    def begin(world: World) -> Heal:
        world.vision.mood = mood
        return lambda: setattr(world.vision, "mood", None)

    return begin


def gpu_none_to_rent(world: World) -> Heal:
    """Those that ran are taken back, and no others are to be had: the service stays at zero while pages wait."""
    world.fleet.rentable = 0
    for task in list(world.fleet.fleet):
        world.fleet.lose(task)
    return lambda: setattr(world.fleet, "rentable", SERVICE.max_tasks)


def gpu_reads_nothing(world: World) -> Heal:
    """Tasks run, and their server never comes up."""
    world.fleet.reading = False
    return lambda: setattr(world.fleet, "reading", True)


def _now_and_then(world: World, action: Callable[[], object], every: float) -> Heal:
    """Do something every so often, until it is healed."""
    on = [True]

    def again() -> None:
        if on:
            action()
            world.simulation.at(every, again)

    again()
    return on.clear


def gpu_spot_loss(world: World) -> Heal:
    """Every ten minutes whatever runs is taken back, by turns with notice and without; others take its place after a cold start."""
    notice = itertools.cycle((True, False))
    return _now_and_then(world, lambda: [world.fleet.lose(task, notice=next(notice)) for task in list(world.fleet.fleet)], 10 * MINUTE)


def gpu_server_dies(world: World) -> Heal:
    """Every ten minutes the server is gone for three: what it was asked fails, and comes back."""

    def die() -> None:
        world.vision.mood = EngineUnavailable("the vision endpoint cannot be reached")
        world.simulation.at(3 * MINUTE, lambda: setattr(world.vision, "mood", None))

    return _now_and_then(world, die, 10 * MINUTE)


FAULTS = (
    Fault("event-never-delivered", event_never_delivered, minutes=30),
    Fault("split-crashes", split_crashes, redriven=True),
    Fault("split-times-out", split_times_out),
    Fault("split-mapping-disabled", disabled("split_document")),
    Fault("recognise-mapping-disabled", disabled("recognise_pages")),
    Fault("assemble-mapping-disabled", disabled("assemble_document")),
    Fault("recognise-throttled", recognise_throttled, minutes=40),
    Fault("out-of-memory", out_of_memory, redriven=True, cap=6),
    Fault("poison-page", poison_page, redriven=True, cap=6),
    Fault("poison-document", poison_document, redriven=True),
    Fault("ledger-throttled", ledger_throttled, minutes=20),
    Fault("ledger-conflicts", ledger_conflicts, minutes=40, redriven=True, cap=9),
    Fault("results-bucket-failing", results_bucket_failing, minutes=20),
    Fault("assemble-crashes", assemble_crashes, minutes=75, redriven=True),
    Fault("messages-duplicated", messages_duplicated),
    Fault("ten-times-slower", ten_times_slower),
    Fault("flood-of-unsupported", nothing, minutes=20, every=60, upload=World.upload_garbage),
    Fault("flood-of-degraded", nothing, minutes=20, every=60, upload=_faded),
    Fault("quarantine-fails", quarantine_fails, minutes=40, redriven=True, cap=6),
    Fault("reconciler-stopped", disabled("reconcile"), minutes=25),
    Fault("canary-stopped", disabled("canary"), minutes=50),
    Fault("completions-lost", completions_lost, minutes=45, every=600, redriven=True, cap=12),
    Fault("messages-lost", messages_lost),
    Fault("counter-wrong", counter_wrong, minutes=30, honest=False),
    Fault("canary-wrong", canary_wrong, minutes=30),
    Fault("expensive-pages", expensive_pages),
    Fault("vision-failing", vision(EngineUnavailable("the vision endpoint answered 500"))),
    Fault("vision-hanging", vision(EngineTimeout("the vision endpoint did not answer within 60 s"))),
    Fault("vision-absent", vision(EngineUnavailable("the vision endpoint cannot be reached"))),
    Fault("vision-nonsense", vision(NONSENSE)),
    Fault("vision-mapping-disabled", disabled("read_with_api")),
    Fault("gpu-none-to-rent", gpu_none_to_rent, gpu=True),
    Fault("gpu-reads-nothing", gpu_reads_nothing, gpu=True),
    Fault("gpu-spot-loss", gpu_spot_loss, gpu=True),
    Fault("gpu-server-dies", gpu_server_dies, gpu=True),
)
