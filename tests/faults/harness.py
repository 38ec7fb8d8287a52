"""A pipeline whose documents are made up and whose reader obeys orders, so that faults can be put where they hurt."""

from __future__ import annotations

import json
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from escriba.backends import Backend
from escriba.conservation import conservation_violation
from escriba.document import Block, BoundingBox, Evidence, Line, Page, Route, Word
from escriba.errors import Corrupt, EngineTimeout, EngineUnavailable
from escriba.ledger import DocumentRow
from escriba.local.dispatcher import Dispatcher, Handler, NeverReturned, sqs_event
from escriba.local.in_memory import InMemoryPipeline
from escriba.memory.clock import ManualClock
from escriba.memory.queue import MemoryQueue
from escriba.messages import PagesRequested, decode
from escriba.policy import Policy
from escriba.ports import Inspection, PageFeatures, Picture, Rejection, no_vision
from escriba.stages.split import accept
from escriba.vision import Answer, Question, VisionModel

OUTPUTS = ("chunks.jsonl", "document.json", "document.md", "document.pdf", "document.txt")


def made_up(routes: str, *, seed: str = "") -> bytes:
    """A document of one page a letter: `t` has a text layer, `o` needs OCR, `d` leaves it in doubt of a word, and `h` is too hard for it. `seed` makes other bytes."""
    return json.dumps({"routes": routes, "seed": seed}).encode()


class ObedientReader:
    """Implements `ports.Reader` for made-up documents. `deadly`, `hanging`: pages that kill or hang their reader, always."""

    def __init__(self) -> None:
        self.deadly: set[int] = set()
        self.hanging: set[int] = set()
        self.refused: set[int] = set()
        self.dies_after: int | None = None
        self.reads: Counter[int] = Counter()
        self._lock = threading.Lock()

    def inspect(self, path: Path, policy: Policy, first: int, last: int) -> Inspection:
        routes = self._open(path)["routes"]
        features = tuple(
            PageFeatures(
                number=n, width=100, height=100, characters=500 if route == "t" else 0, image_coverage=0.0 if route == "t" else 1.0
            )
            for n, route in enumerate(routes, start=1)
            if first <= n <= last
        )
        return Inspection("application/pdf", len(routes), features)

    def prepare(self, path: Path, policy: Policy, passwords: Sequence[str]) -> Path | None:
        return None

    def cut(self, path: Path, policy: Policy, number: int) -> bytes:
        return path.read_bytes()

    def read(self, path: Path, policy: Policy, route: Route, first: int, last: int, offset: int) -> Sequence[Page | Rejection]:
        made = self._open(path)
        answers: list[Page | Rejection] = []
        for number in range(first, last + 1):
            with self._lock:
                self.reads[number] += 1
                if self.dies_after is not None and self.reads.total() > self.dies_after:
                    raise NeverReturned
            if number in self.deadly:
                raise EngineUnavailable("the reader's process was killed by signal 9")
            if number in self.hanging:
                raise EngineTimeout("the reader did not answer within 60 s")
            if number in self.refused:
                answers.append(Rejection(number, "corrupt", "broken page"))
            elif made["routes"][number - 1] == "h":
                answers.append(hard_page(number))
            elif made["routes"][number - 1] == "d":
                answers.append(doubtful_page(number))
            else:
                answers.append(_page(number, route, made.get("says", "")))
        return answers

    def render(self, path: Path, policy: Policy, number: int, pixels: int, *, turned: int = 0, box: BoundingBox | None = None) -> Picture:
        return Picture(str(number).encode(), 100, 100, 0.1)

    def picture(self, path: Path, policy: Policy, number: int, pixels: int, turned: int = 0) -> bytes:
        return b""

    def write_pdf(self, path: Path, policy: Policy, pages: Path, out: Path, total: int) -> None:
        out.write_bytes(pages.read_bytes())

    def engine_versions(self, policy: Policy) -> Mapping[str, str]:
        return {"text_layer": "1", "rapidocr": "1"}

    def close(self) -> None:
        pass

    @staticmethod
    def _open(path: Path) -> Any:
        try:
            return json.loads(path.read_bytes())
        except ValueError:
            raise Corrupt("the file is not a made-up document") from None


def _page(number: int, route: Route, said: str = "") -> Page:
    box = BoundingBox(10, 10, 90, 20)
    line = Line(box, (Word(said or f"page-{number}", box, 0.9 if route == "ocr" else None),))
    block = Block(kind="paragraph", box=box, lines=(line,), font_size=10)
    engine, confidence = ("rapidocr", 0.9) if route == "ocr" else ("text_layer", None)
    return Page(number=number, width=100, height=100, route=route, engine=engine, state="DONE", confidence=confidence, blocks=(block,))


SURE = ("Fatura 4711 de 12/03/2026 vence 30/04/2026", "Total a pagar 1.234,56 EUR por transferencia")
SCRAWL = ("Recebido em maos pelo encarregado", "e conferido antes da entrega", "sem qualquer reparo a fazer")


DOUBTFUL = (
    "Fatura 4711 de 12/03/2026 com vencimento em abril",
    "A mercadoria foi confer~lda e entregue ontem sem qualquer reparo",
    "Pagamento por transferencia para a conta indicada no contrato",
)
"""Lines of which CPU OCR is in doubt of the word with a tilde in it."""


def hard_page(number: int) -> Page:
    """What CPU OCR makes of a page of which it can read the print, and not the hand below it."""
    shapes = [(text, 0.97, text) for text in SURE] + [
        (text, 0.2, "".join(chr(ord(c) ^ 3) if c.isalpha() else c for c in text)) for text in SCRAWL
    ]
    evidence = Evidence(ink=0.1, unread=0.6, sure=0.3, disagreement=0.8, handwriting=0.9)
    return _read_page(number, [[(word, confidence) for word in read.split()] for _, confidence, read in shapes], 0.45, evidence)


def doubtful_page(number: int) -> Page:
    """What CPU OCR makes of good print, with a slip here and there that it is in doubt of."""
    lines = [[(word.replace("~", ""), 0.6 if "~" in word else 0.99) for word in text.split()] for text in DOUBTFUL]
    return _read_page(number, lines, 0.95, Evidence(ink=0.1, sure=0.9))


def _read_page(number: int, lines: Sequence[Sequence[tuple[str, float]]], confidence: float, evidence: Evidence) -> Page:
    blocks = []
    for n, words in enumerate(lines):
        box = BoundingBox(10, 10 + 12 * n, 90, 20 + 12 * n)
        step = 80 / len(words)
        line = Line.of(
            Word(word, BoundingBox(10 + step * i, box.y0, 10 + step * (i + 0.9), box.y1), sure) for i, (word, sure) in enumerate(words)
        )
        blocks.append(Block(kind="paragraph", box=line.box, lines=(line,), font_size=10))
    return Page(
        number=number,
        width=100,
        height=100,
        route="ocr",
        engine="rapidocr",
        state="DONE",
        confidence=confidence,
        blocks=tuple(blocks),
        evidence=evidence,
    )


class ObedientVision:
    """Implements `vision.VisionModel`: reads hard pages right, unless `mood` is an error to raise or an answer to give instead."""

    def __init__(self) -> None:
        self.mood: Exception | str | None = None
        self.asked: list[Question] = []

    def count_tokens(self, text: str, model: str = "", seconds: float = 10.0) -> int | None:
        return len(text) // 4

    def ask(self, question: Question, seconds: float) -> Answer:
        self.asked.append(question)
        if isinstance(self.mood, Exception):
            raise self.mood
        return Answer(text=self.mood or "\n\n".join(SURE + SCRAWL), finish="stop", model=question.model, answer_tokens=50, seconds=2.0)


OWN = Backend(name="own", base_url="http://127.0.0.1:8000/v1", model="lightonocr-2-1b", external=False)


@contextmanager
def pipeline(
    *, disorder: random.Random | None = None, vision: VisionModel | None = None, backends: Sequence[Backend] = (OWN,)
) -> Iterator[InMemoryPipeline]:
    """An in-memory pipeline on a manual clock with an obedient reader, and, where there is one, a vision model behind each of the backends."""
    with tempfile.TemporaryDirectory() as name:
        made = InMemoryPipeline(
            reader=ObedientReader(),
            scratch=Path(name),
            clock=ManualClock(),
            backends=backends if vision else (),
            vision=(lambda _: vision) if vision else no_vision,
        )
        if disorder is not None:
            for queue in made.queues.values():
                assert isinstance(queue, MemoryQueue)
                queue._disorder = disorder
        yield made


def reader_of(made: InMemoryPipeline) -> ObedientReader:
    reader = made.ports.reader
    assert isinstance(reader, ObedientReader)
    return reader


def run(made: InMemoryPipeline, *, handlers: Mapping[str, Handler] | None = None, workers: int = 1) -> None:
    """Work until every queue is empty, on the manual clock (hours may pass)."""
    Dispatcher(made.topology, made.queues, handlers or made.handlers(), made.ports.clock, workers=workers, idle=30).run()


def outputs(made: InMemoryPipeline, job: str) -> dict[str, bytes]:
    """The current revision's deterministic outputs."""
    _, document = made.result(job)
    assert document is not None
    return {name: made.ports.results.get(document.output_prefix + name) for name in OUTPUTS}


def document_of(made: InMemoryPipeline, job: str) -> DocumentRow:
    """The document that a job came to."""
    _, document = made.result(job)
    assert document is not None
    return document


def laid_down(made: InMemoryPipeline, routes: str, *, generation: int = 1) -> tuple[DocumentRow, list[PagesRequested]]:
    """A document whose pages wait to be read, and their messages, taken from the queue; in a later generation it was rejected before."""
    for left in reversed(range(generation)):
        job = made.upload("a.pdf", made_up(routes))
        [event] = made.queues["intake"].receive(1)
        made.queues["intake"].delete(event.receipt)
        if left:
            identity = accept(decode(event.body), made._worker_ports())  # type: ignore[arg-type]
            made.ports.ledger.reject(identity, "failed", "because")
    made.handlers()["split_document"](sqs_event("intake", [event]), None)
    messages = made.queues["pages"].receive(10)
    for message in messages:
        made.queues["pages"].delete(message.receipt)
    return document_of(made, job), [decode(message.body) for message in messages]  # type: ignore[misc]


def undisturbed(routes: str) -> dict[str, bytes]:
    """What a made-up document comes to when nothing goes wrong."""
    with pipeline() as made:
        job = made.upload("a.pdf", made_up(routes))
        run(made)
        return outputs(made, job)


def assert_conserved(made: InMemoryPipeline) -> None:
    """Every page of every document is accounted for, and nothing waits."""
    for document in made.ports.ledger.documents():
        assert conservation_violation(document, list(made.ports.ledger.pages(document.document_id))) == ""
        assert document.waiting == 0
        assert document.state in {"DONE", "PARTIAL", "REJECTED"}


class Crash:
    """Wraps a port so that the process dies right after its n-th side effect, counted over every port that shares this object."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def after(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        def effect_then_maybe_die(*args: Any, **kwargs: Any) -> Any:
            answer = effect(*args, **kwargs)
            self.count += 1
            if self.count == self.at:
                raise NeverReturned
            return answer

        return effect_then_maybe_die


_EFFECTS = {
    "put", "upload", "delete", "accept", "reject_job", "add_pages", "planned", "reading", "complete", "count_failure", "unpack",
    "note_failure", "reject", "begin_assembly", "publish", "record_dead_letter", "send",
}  # fmt: skip


class Fragile:
    """A port that dies after a side effect, when its `Crash` says so."""

    def __init__(self, port: Any, crash: Crash) -> None:
        self._port, self._crash = port, crash

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        return self._crash.after(found) if name in _EFFECTS else found
