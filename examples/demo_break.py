"""`make demo-break`: breaks a page, a process and a sandbox under your eyes, and shows that nothing is lost and nothing is read twice.

Real pages, the real OCR, the real stages, and the queues and mappings of a deployment on a clock that hurries: hours in seconds. No account.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pymupdf

from escriba.alarms import ALARMS, OURS
from escriba.conservation import conservation_violation
from escriba.document import Page, Route
from escriba.isolation import IsolatedReader
from escriba.ledger import DocumentRow, PagesRow
from escriba.local.alarm_evaluator import is_red
from escriba.local.dispatcher import NeverReturned
from escriba.local.in_memory import InMemoryPipeline
from escriba.local.metrics import MINUTE, MeasuringMeter, MetricStore
from escriba.local.simulation import Simulation
from escriba.memory.clock import ManualClock
from escriba.policy import Policy
from escriba.ports import Delivery, Rejection
from escriba.stages.redrive import Wanted, plan, redrive
from escriba.topology import TOPOLOGY, FunctionSpec, Topology

PAGES, POISON = 100, 50
OCR_SECONDS = 4.0
"""What reading a page takes on the clock that hurries."""
_ALARM = next(alarm for alarm in ALARMS if alarm.name == "pages-quarantined")
_LONGEST = 8 * 60 * MINUTE


class PoisonedReader(IsolatedReader):
    """The real reader, whose process is killed whenever it reads the poison page; `dying` takes the whole sandbox along, once."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[int] = Counter()
        self.poison = {POISON}
        self.dying = True

    def read(self, path: Path, policy: Policy, route: Route, first: int, last: int, offset: int) -> Sequence[Page | Rejection]:
        self.reads.update(range(first, last + 1))
        if first in self.poison:
            if self.dying:
                self.dying = False
                raise NeverReturned
            self._kill(path, policy)
        return super().read(path, policy, route, first, last, offset)

    def _kill(self, path: Path, policy: Policy) -> None:
        """Have a running child die in the middle of what it is asked next: halted first, so that it cannot be quicker."""
        self.inspect(path, policy, 1, 1)
        os.kill(self.pid, signal.SIGSTOP)
        threading.Timer(0.2, os.kill, (self.pid, signal.SIGKILL)).start()


class Story:
    """The pipeline, its clock and what was seen of it."""

    def __init__(self, reader: PoisonedReader, scratch: Path) -> None:
        self.reader, self.clock, self.store = reader, ManualClock(), MetricStore()
        meter = MeasuringMeter(self.store, self.clock, OURS)
        self.pipeline = InMemoryPipeline(reader=reader, scratch=scratch, clock=self.clock, meter=meter)
        # One reader at a time, so that the pages come in order; and no canary, which would need the door that a deployment has.
        functions = tuple(
            replace(spec, max_concurrency=1) if spec.name == "recognise_pages" else spec
            for spec in TOPOLOGY.functions
            if spec.name != "canary"
        )
        topology = Topology(TOPOLOGY.queues, functions)
        self.simulation = Simulation(topology, self.pipeline.queues, self.pipeline.handlers(), self.clock, self.store, _duration)
        self.began = self.clock.now()
        self.job = ""

    def upload(self, data: bytes) -> None:
        self.job = self.pipeline.upload("deliveries.pdf", data)

    @property
    def document(self) -> DocumentRow:
        job = self.pipeline.ports.ledger.job(self.job)
        if job is None:
            raise LookupError
        return self.pipeline.ports.ledger.document(job.document_id)

    @property
    def rows(self) -> list[PagesRow]:
        return list(self.pipeline.ports.ledger.pages(self.document.document_id))

    @property
    def red(self) -> bool:
        """The alarm, as CloudWatch would show it at the next full minute."""
        return is_red(_ALARM, self.store, (self.simulation.now // MINUTE + 1) * MINUTE)

    def others(self) -> Counter[int]:
        """How often each page but the poison one was read."""
        return Counter({number: times for number, times in self.reader.reads.items() if number != POISON})

    def text(self) -> str:
        return self.pipeline.ports.results.get(self.document.output_prefix + "document.md").decode()

    def until(self, reached: Callable[[], bool]) -> None:
        """Let time pass until something is so. Raises TimeoutError when it never is."""
        end = self.simulation.now + _LONGEST
        while not reached():
            if self.simulation.now > end:
                raise TimeoutError
            self.simulation.run(10)

    def when(self) -> str:
        seconds = round((self.clock.now() - self.began).total_seconds())
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _duration(spec: FunctionSpec, _: Sequence[Delivery]) -> float:
    return OCR_SECONDS if spec.name == "recognise_pages" else 2.0


def scans() -> bytes:
    """A hundred scanned delivery notes: pictures, no text layer."""
    made = pymupdf.open()
    for number in range(1, PAGES + 1):
        drawn = pymupdf.open().new_page(width=300, height=90)
        drawn.insert_text((20, 40), f"Delivery note {1000 + number}", fontsize=20)
        drawn.insert_text((20, 70), f"{3 * number} crates of citrus", fontsize=16)
        page = made.new_page(width=300, height=90)
        page.insert_image(page.rect, pixmap=drawn.get_pixmap(dpi=110))
    return bytes(made.tobytes(deflate=True))


def tell(story: Story) -> Iterator[tuple[str, Mapping[str, bool]]]:
    """The steps: what is told, and what must be so for it to be true."""
    story.upload(scans())
    yield f"A scan of {PAGES} pages is uploaded. Page {POISON} is poison: it kills whoever reads it.", {}

    story.until(lambda: not story.reader.dying)
    before = {row.first for row in story.rows if row.state == "DONE"}
    yield (
        f"Page {POISON} takes the whole sandbox along: no answer, no log line.\n{len(before)} pages are done, and stand in the ledger.",
        {"the pages before are done": before == set(range(1, POISON)), **_conserved(story)},
    )

    story.until(lambda: story.document.current == 1)
    minutes = TOPOLOGY.queue("pages").visibility / MINUTE
    lost = [row for row in story.rows if row.state == "QUARANTINED"]
    yield (
        f"""Its message comes back after {minutes:.0f} minutes, and kills its reader's process, twice. Then it is a
dead letter, and the page is quarantined: {lost[0].reason}.""",
        {f"page {POISON} alone is quarantined": [(row.first, row.last) for row in lost] == [(POISON, POISON)], **_conserved(story)},
    )
    named = [line for line in story.text().splitlines() if "could not be read" in line]
    yield (
        f"The other {PAGES - 1} pages are delivered: {story.document.state}, revision {story.document.current}. In page {POISON}'s place stands\n"
        + "\n".join(named),
        {"PARTIAL": story.document.state == "PARTIAL", "the lost page is named": len(named) == 1 and f"Page {POISON} " in named[0]},
    )
    story.until(lambda: story.red)
    yield f"The alarm {_ALARM.name} is RED:\n{_ALARM.meaning}.", {"red": story.red}

    reads = story.others()
    yield (
        f"What did the dying cost? {sum(reads.values())} readings for the other {len(reads)} pages, {story.reader.reads[POISON]} for page {POISON}.",
        {"no other page was read twice": set(reads.values()) == {1} and len(reads) == PAGES - 1},
    )

    story.reader.poison.clear()
    made = plan(Wanted(reason="killed"), PAGES, story.pipeline.ports)
    yield (
        "The reader is mended. What escriba redrive --reason killed would send:\n"
        + "\n".join(f"{pages} page: {reason}" for reason, pages in made.reasons().items())
        + f"\nestimated cost on AWS: {made.usd:.5f} USD",
        {"one page": sum(made.reasons().values()) == 1},
    )
    redrive(made, story.pipeline.ports)
    story.until(lambda: story.document.current > 1)
    found = [line.strip("# ") for line in story.text().splitlines() if str(1000 + POISON) in line]
    yield (
        f"Sent, and read: {story.document.state}, revision {story.document.current}. On page {POISON} stands: {' '.join(found)}",
        {"DONE": story.document.state == "DONE", "its text is there": len(found) == 1, **_conserved(story)},
    )
    story.until(lambda: not story.red)
    yield (
        f"The alarm {_ALARM.name} is green again. Readings of the other {PAGES - 1} pages, first to last: {story.others().total()}.",
        {"none was read again for the second revision": story.others() == reads},
    )


def _conserved(story: Story) -> Mapping[str, bool]:
    return {"every page is accounted for": not conservation_violation(story.document, story.rows)}


def main() -> int:
    """Tell the story; 1 when something was not as told."""
    began = time.monotonic()
    wrong, counted = 0, ""
    with tempfile.TemporaryDirectory(prefix="escriba-") as scratch, closing(PoisonedReader()) as reader:
        story = Story(reader, Path(scratch))
        for told, facts in tell(story):
            first, *rest = told.splitlines()
            sys.stdout.write(f"\n{story.when()}  {first}\n" + "".join(f"         {line}\n" for line in rest))
            counts = _counts(story)
            if counts != counted:
                sys.stdout.write(f"         {counts}\n")
            counted = counts
            sys.stdout.write("".join(f"         {'ok     ' if held else 'NOT SO '} {fact}\n" for fact, held in facts.items()))
            sys.stdout.flush()
            wrong += sum(not held for held in facts.values())
    sys.stdout.write(f"\n{story.when()} of a deployment (hours:minutes:seconds), in {time.monotonic() - began:.0f} seconds.\n")
    return int(bool(wrong))


def _counts(story: Story) -> str:
    try:
        document = story.document
    except LookupError:
        return ""
    counts = " + ".join(f"{getattr(document, name)} {name}" for name in ("done", "degraded", "quarantined", "waiting"))
    return f"{document.total} pages = {counts}"


if __name__ == "__main__":
    sys.exit(main())
