"""Hypothesis drives deliveries in any order, twice, and interrupted anywhere; the law holds and the outputs never differ."""

from __future__ import annotations

import random
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from escriba.conservation import conservation_violation
from escriba.errors import EngineUnavailable
from escriba.local.dispatcher import Dispatcher, NeverReturned
from escriba.local.in_memory import InMemoryPipeline
from escriba.memory.queue import MemoryQueue
from tests.faults.harness import assert_conserved, made_up, outputs, pipeline, reader_of, undisturbed

ROUTES = st.text("to", min_size=1, max_size=12)
FAULTS = st.lists(st.sampled_from(["fine", "fine", "fine", "crash before", "crash after", "again", "fail"]), max_size=40)


@cache
def expected(routes: str) -> dict[str, bytes]:
    return undisturbed(routes)


def disturb(made: InMemoryPipeline, faults: list[str], seed: int) -> None:
    """Work through the queues in random order; each invocation meets the next fault, until there are none left."""
    chance, plan, handlers = random.Random(seed), iter(faults), made.handlers()
    crashes: dict[str, int] = {}

    def disturbed(name: str, event: dict[str, object], context: object) -> object:
        fault = next(plan, "fine")
        body = event["Records"][0]["body"]  # type: ignore[index]
        if fault != "fine":
            # Two disturbances a message are survived by contract; the third would be a poison message.
            crashes[body] = crashes.get(body, 0) + 1
            if crashes[body] > 2:
                fault = "fine"
        if fault == "crash before":
            raise NeverReturned
        if fault == "fail":
            raise EngineUnavailable("asked to fail")
        answer = handlers[name](event, context)
        if fault == "again":
            answer = handlers[name](event, context)
        if fault == "crash after":
            raise NeverReturned
        for document in made.ports.ledger.documents():
            assert conservation_violation(document, list(made.ports.ledger.pages(document.document_id))) == ""
        return answer

    for queue in made.queues.values():
        assert isinstance(queue, MemoryQueue)
        queue._disorder = chance
    wrapped = {name: (lambda event, context, name=name: disturbed(name, event, context)) for name in handlers}
    Dispatcher(made.topology, made.queues, wrapped, made.ports.clock, idle=30).run()  # type: ignore[arg-type]


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(ROUTES, FAULTS, st.integers(0, 10_000))
def test_any_interleaving_gives_the_undisturbed_outputs(routes: str, faults: list[str], seed: int) -> None:
    """Crashes before and after, failures, duplicates, any order: the same bytes, every page accounted for at every moment."""
    with pipeline() as made:
        job = made.upload("a.pdf", made_up(routes))
        disturb(made, faults, seed)
        assert_conserved(made)
        assert outputs(made, job) == expected(routes)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(ROUTES, st.sets(st.integers(1, 12), max_size=4), FAULTS, st.integers(0, 10_000))
def test_poison_pages_among_any_faults_take_no_neighbours_along(routes: str, deadly: set[int], faults: list[str], seed: int) -> None:
    """Exactly the deadly pages are quarantined, whatever else goes wrong."""
    with pipeline() as made:
        reader_of(made).deadly = deadly
        job = made.upload("a.pdf", made_up(routes))
        disturb(made, faults, seed)
        assert_conserved(made)
        _, document = made.result(job)
        assert document is not None
        lost = {
            n for row in made.ports.ledger.pages(document.document_id) if row.state == "QUARANTINED" for n in range(row.first, row.last + 1)
        }
        assert lost == {n for n in deadly if n <= len(routes)}
        text = outputs(made, job)["document.txt"]
        assert all((f"page-{n}\n".encode() in text) == (n not in lost) for n in range(1, len(routes) + 1))
