"""Asks a model about what CPU OCR could not read, or only with doubts, and believes an answer only with evidence.

What is not believed costs nothing but its price: the CPU reading stands, DEGRADED, with the reason.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from escriba import models
from escriba.backends import OURS, Backend, choose, patience, queues
from escriba.document import Block, BoundingBox, Page, PageState, confirmed_confidence
from escriba.errors import EngineRejected, RetryableError, VisionAway
from escriba.escalation import regions
from escriba.guards.acceptance import judge
from escriba.identity import result_key
from escriba.layout.alignment import aligned, inside, replaced
from escriba.ledger import DocumentRow, Outcome, PagesRow
from escriba.messages import VisionRequested
from escriba.moves import given_up
from escriba.policy import Policy
from escriba.ports import Picture, Ports
from escriba.stages import announce, figures
from escriba.stages.correct_text import correct
from escriba.stages.escalate import LATE, UNGROUNDED, escalate, settle
from escriba.stages.scratch import fetch
from escriba.vision import Answer, Parsed, Question, Region, Verdict, answer_bound

SECONDS = 150.0
"""The longest that one invocation asks for: the function has 180."""
_PAGES = msgspec.json.Decoder(tuple[Page, ...])
_ENCODER = msgspec.json.Encoder()


class Rung(NamedTuple):
    """One way to ask: the temperature, and the picture's size as a share of what the model takes."""

    temperature: float
    size: float


LADDER = (Rung(0.0, 1.0), Rung(0.2, 0.8), Rung(0.5, 1.0), Rung(0.5, 0.65), Rung(0.8, 0.9), Rung(0.8, 0.75))


@dataclass(frozen=True)
class Told:
    """What became of one region: the blocks that were believed, or why none were."""

    region: Region
    blocks: tuple[Block, ...] = ()
    engine: str = ""
    reason: str = ""
    ungrounded: bool = False

    @property
    def believed(self) -> bool:
        return bool(self.engine)


def read_vision(message: VisionRequested, ports: Ports) -> None:
    """Read the page better unless that is done already. Raises `VisionAway` while no model can be asked and the page may wait."""
    document = ports.ledger.document(message.document_id)
    row = ports.ledger.pages_row(message.document_id, message.page, message.page)
    if row is None or document.state == "REJECTED" or row.generation != message.generation:
        return
    if not _is_wanted(row):
        announce.ready(document, ports)
        return
    policy = Policy.model_validate_json(document.policy)
    now = ports.clock.now()
    left = patience(policy) - (now - message.escalated_at).total_seconds()
    if left <= 0 and row.state == "WAITING":
        # The document shall not wait any longer; what is read from here on makes it better afterwards.
        settle(document, row, given_up(row, LATE), ports)
        if row.kept_as == "DONE":
            return
        row = msgspec.structs.replace(row, state="DEGRADED", reason=LATE)
    seconds = min(left, SECONDS) if left > 0 else min(policy.vision.deadline_seconds, SECONDS)
    [page] = _PAGES.decode(gzip.decompress(ports.results.get(row.result_key)))
    hard, until = regions(page, policy), now + timedelta(seconds=seconds)
    if not hard:
        better = correct(document, policy, page, row.queue, until, ports)
        settle(document, row, _kept(document, row, better, (ports.clock.now() - now).total_seconds(), ports), ports)
        return
    asking = _Asking(document, row, policy, page, until, ports)
    told = [asking.about(region) for region in hard]
    spent = (ports.clock.now() - now).total_seconds()
    if left > 0 and not any(one.believed for one in told):
        if asking.away is not None and policy.vision.urgency == "batch":
            raise VisionAway(str(asking.away))
        if further := _further(row, policy, ports):
            escalate(document, row, given_up(row, told[0].reason), further, ports)
            return
        if asking.away is not None and row.queue == OURS:
            # Whoever watches over our own server starts it again; of another's it is not known when it comes back.
            raise VisionAway(str(asking.away))
    settle(document, row, _outcome(document, row, page, told, spent, ports), ports)


def _further(row: PagesRow, policy: Policy, ports: Ports) -> str:
    """The queue of the backends that come after those of the row's queue, empty where none do."""
    order = queues(choose(ports.backends, policy))
    return order[order.index(row.queue) + 1] if row.queue in order[:-1] else ""


def _is_wanted(row: PagesRow) -> bool:
    return row.state == "WAITING" or (row.state == "DEGRADED" and row.reason == LATE)


class _Asking:
    """Asks about the regions of one page until a moment; `away` is the last failure of a backend that another time may succeed."""

    def __init__(self, document: DocumentRow, row: PagesRow, policy: Policy, page: Page, until: datetime, ports: Ports) -> None:
        self._document, self._row, self._policy, self._page, self._until, self._ports = document, row, policy, page, until, ports
        self._path = fetch(row.object_key, ports)
        self.away: RetryableError | None = None

    def about(self, region: Region) -> Told:
        cpu = inside(self._page.blocks, region.box)
        told = Told(region, reason="there is no vision backend for this policy any more")
        for backend in choose(self._ports.backends, self._policy):
            if backend.queue != self._row.queue:
                continue
            for told in self._climb(region, cpu, backend):
                if told.believed:
                    return told
        return told

    def _climb(self, region: Region, cpu: Sequence[Block], backend: Backend) -> Iterator[Told]:
        """One answer after the other, each asked for in another way, until the backend fails or refuses."""
        model, turn = models.model(backend.model), 0
        for rung in LADDER[: self._policy.vision.attempts]:
            left = (self._until - self._ports.clock.now()).total_seconds()
            if left <= 0:
                yield Told(region, reason=LATE)
                return
            try:
                picture = self._drawn(region, model, rung, turn)
            except RetryableError as error:
                # Not the backend's fault: no other would be shown a better picture.
                self._ports.meter.log("warning", "page not drawn", error=type(error).__name__, reason=str(error))
                yield Told(region, reason=f"no vision reading: {error}")
                return
            try:
                answer = self._ask(region, cpu, backend, rung, picture, left)
            except EngineRejected as error:
                yield Told(region, reason=str(error))
                return
            except RetryableError as error:
                self.away = error
                self._count("VisionFailures")
                self._ports.meter.log(
                    "warning", "vision backend failed", backend=backend.name, error=type(error).__name__, reason=str(error)
                )
                yield Told(region, reason=f"no vision reading: {error}")
                return
            parsed = _parsed(model, answer, picture)
            verdict = judge(answer, parsed, cpu, ink=picture.ink, region=region, prompt=model.prompt, policy=self._policy)
            yield self._told(region, cpu, backend, parsed, verdict)
            turn = (turn + (parsed.turn if parsed else 0)) % 360

    def _drawn(self, region: Region, model: models.Model, rung: Rung, turn: int) -> Picture:
        number, turned = self._row.first - self._row.offset, (self._page.turned + turn) % 360
        box = region.box if not turn else None  # a box of the page as it was read means nothing on a turned one
        pixels = round(model.rendering.longest_side * rung.size)
        return self._ports.reader.render(self._path, self._policy, number, pixels, turned=turned, box=box)

    def _ask(self, region: Region, cpu: Sequence[Block], backend: Backend, rung: Rung, picture: Picture, left: float) -> Answer:
        model, vision = models.model(backend.model), self._ports.vision(backend)
        question = Question(
            model=model.served_as(backend.served_as),
            prompt=model.prompt,
            image=picture.image,
            media_type="image/png",
            pixels=picture.width * picture.height,
            max_tokens=self._bound(region, cpu, backend, left),
            temperature=max(rung.temperature, model.sampling.temperature),
            sampling={"top_p": model.sampling.top_p, **model.sampling.extra},
        )
        answer = vision.ask(question, left)
        self._count("VisionQuestions")
        self._count("VisionPixels", question.pixels)
        self._count("VisionTokens", answer.prompt_tokens + answer.answer_tokens)
        self._count("VisionSeconds", answer.seconds)
        return answer

    def _bound(self, region: Region, cpu: Sequence[Block], backend: Backend, left: float) -> int:
        """Tokens; what CPU OCR hardly saw may be of any length."""
        model = models.model(backend.model)
        most = min(self._policy.vision.max_tokens, model.max_tokens)
        text = "" if region.cause in {"unread", "handwriting"} else "\n".join(block.text for block in cpu)
        counted = self._ports.vision(backend).count_tokens(text, model.served_as(backend.served_as), min(left, 10.0)) if text else None
        return answer_bound(len(text), counted, model.characters_per_token, most)

    def _told(self, region: Region, cpu: Sequence[Block], backend: Backend, parsed: Parsed | None, verdict: Verdict) -> Told:
        if verdict.refused or parsed is None:
            self._count("VisionRefusals")
            self._ports.meter.log("warning", "vision answer refused", backend=backend.name, guard=verdict.refused, cause=region.cause)
            return Told(region, reason=f"the vision reading was not believed: {verdict.reason}")
        box = region.box or BoundingBox(0, 0, self._page.width, self._page.height)
        engine = models.model(backend.model).signature(backend.served_as)
        return Told(region, aligned(parsed, cpu, box), engine, ungrounded=verdict.grounded is None)

    def _count(self, metric: str, value: float = 1) -> None:
        figures.count(self._ports, self._document, metric, value)


def _parsed(model: models.Model, answer: Answer, picture: Picture) -> Parsed | None:
    try:
        return models.parse(model.parser, answer.text, (picture.width, picture.height))
    except models.Unparsable:
        return None


def _outcome(document: DocumentRow, row: PagesRow, page: Page, told: Sequence[Told], seconds: float, ports: Ports) -> Outcome:
    """How a hard page ends, what was believed put in its place."""
    refused = [one.reason for one in told if not one.believed]
    better = merged(page, [one for one in told if one.believed])
    reason = refused[0] if refused else UNGROUNDED if any(one.ungrounded for one in told) else ""
    state: PageState = "DEGRADED" if reason else "DONE"
    return _kept(document, row, msgspec.structs.replace(better, state=state, reason=reason), seconds, ports)


def _kept(document: DocumentRow, row: PagesRow, page: Page, seconds: float, ports: Ports) -> Outcome:
    """The page stored, and its row's end."""
    content = gzip.compress(_ENCODER.encode([page]), 1, mtime=0)
    key = result_key(document.document_id, row.first, row.last, content)
    ports.results.put(key, content, content_type="application/gzip")
    return Outcome(
        first=row.first,
        last=row.last,
        generation=row.generation,
        state=page.state,
        reason=page.reason,
        engine=page.engine,
        result_key=key,
        confidence=page.confidence,
        seconds=round(row.seconds + seconds, 3),
    )


def merged(page: Page, believed: Sequence[Told]) -> Page:
    """The page with the better readings in place of what CPU OCR read there."""
    blocks, engine = page.blocks, page.engine
    for one in believed:
        if one.region.box is None:
            blocks, engine = one.blocks, one.engine
        else:
            crop = [msgspec.structs.replace(block, engine=one.engine) for block in one.blocks]
            blocks = replaced(blocks, one.region.box, crop)
    if not believed:
        return page
    return msgspec.structs.replace(page, route="vision", engine=engine, blocks=tuple(blocks), confidence=confirmed_confidence(blocks))
