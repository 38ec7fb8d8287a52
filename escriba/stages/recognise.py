"""Reads the pages of one message and records how that ended: the only place where a page becomes DONE or DEGRADED."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

import msgspec

from escriba.backends import choose, queues
from escriba.document import Page, PageState
from escriba.errors import EngineTimeout, EngineUnavailable, EscribaError, PermanentError
from escriba.escalation import regions, wants_correction
from escriba.identity import result_key
from escriba.ledger import DocumentRow, Outcome, PagesRow
from escriba.messages import PagesRequested, VisionRequested, encode
from escriba.policy import Policy
from escriba.ports import Ports, Rejection
from escriba.stages import announce, figures
from escriba.stages.correct_text import correctors
from escriba.stages.escalate import escalate, send_again
from escriba.stages.scratch import fetch
from escriba.stages.split import send_waiting
from escriba.topology import MAX_FAILURES, MAX_TIMEOUTS

_ENCODER = msgspec.json.Encoder()


def recognise(message: PagesRequested, receives: int, ports: Ports) -> None:
    """Read the message's pages unless that is done already. `receives` counts this delivery too."""
    document = ports.ledger.document(message.document_id)
    row = ports.ledger.pages_row(message.document_id, message.first, message.last)
    if document.state == "REJECTED" or (row is not None and row.generation > message.generation):
        return
    if row is None or (row.state == "WAITING" and row.pages > 1 and (receives > 1 or row.attempts)):
        # One page of a packet may have killed its reader: alone, it takes no neighbours along.
        _unpack(document, message, ports)
    elif row.state != "WAITING":
        announce.ready(document, ports)
    elif row.queue != "pages":
        if receives > 1:
            # Read and escalated, and the process died before it could tell the vision queue.
            send_again(document, row, ports)
    else:
        _read(document, row, ports)


def _read(document: DocumentRow, row: PagesRow, ports: Ports) -> None:
    policy = Policy.model_validate_json(document.policy)
    began = ports.clock.now()
    answers: Sequence[Page | Rejection]
    asked = list(range(row.first, row.last + 1))
    figures.count(ports, document, "PagesRead", row.pages)  # before it is known how that ends: it is what costs
    try:
        answers = ports.reader.read(fetch(row.object_key, ports), policy, row.route, row.first, row.last, row.offset)
    except PermanentError as error:
        answers = [Rejection(number, error.code, str(error)) for number in asked]
    if [answer.number for answer in answers] != asked:
        # Kept, they would stand in another page's place.
        raise EngineUnavailable("the reader answered for other pages than it was asked for")
    seconds = (ports.clock.now() - began).total_seconds()
    if len({(_state(answer), answer.reason) for answer in answers}) > 1:
        # The pages of a row share one state; where they differ, each needs a row of its own.
        send_waiting(document, ports.ledger.unpack(document.document_id, row.first, row.last), ports)
        return
    hard = [page for page in answers if isinstance(page, Page) and _is_hard(page, policy)]
    asked_next = queues(choose(ports.backends, policy))
    if hard and not asked_next:
        answers, hard = [_left_alone(page) for page in hard], []
    outcome = _keep(document, row, answers, seconds, ports)
    if hard:
        # Read as it is, the page is not good enough.
        escalate(document, row, msgspec.structs.replace(outcome, state="DEGRADED"), asked_next[0], ports)
        return
    asked_next = queues(correctors(ports.backends, policy))
    if asked_next and any(isinstance(page, Page) and wants_correction(page, policy) for page in answers):
        escalate(document, row, outcome, asked_next[0], ports)
        return
    after = ports.ledger.complete(document.document_id, [outcome])
    figures.count(ports, document, "PagesFinished", row.pages)
    if outcome.state == "DEGRADED":
        figures.count(ports, document, "PagesDegraded", row.pages)
    elif outcome.state == "QUARANTINED":
        announce.quarantined(document, row, outcome.reason, ports)
    announce.ready(after, ports)


def _is_hard(page: Page, policy: Policy) -> bool:
    """Whether a vision model is to look at a page that travelled alone; a flaw of the file itself none can mend."""
    return page.route == "ocr" and policy.vision.enabled and not page.flawed and bool(regions(page, policy))


def _left_alone(page: Page) -> Page:
    """A hard page where nobody can be asked about it."""
    return msgspec.structs.replace(page, state="DEGRADED", reason=f"{page.reason or 'hard to read'}, and no vision backend")


def _keep(document: DocumentRow, row: PagesRow, answers: Sequence[Page | Rejection], seconds: float, ports: Ports) -> Outcome:
    """Store what was read and say how it ended; all answers are of one kind here."""
    pages = [answer for answer in answers if isinstance(answer, Page)]
    outcome = Outcome(
        first=row.first,
        last=row.last,
        generation=row.generation,
        state=_state(answers[0]),
        code=answers[0].code if isinstance(answers[0], Rejection) else "",
        reason=answers[0].reason,
        seconds=round(seconds, 3),
    )
    if not pages:
        return outcome
    # Level 1: the bytes are small either way, and a fixed mtime keeps them the same in every run.
    content = gzip.compress(_ENCODER.encode(pages), 1, mtime=0)
    key = result_key(document.document_id, row.first, row.last, content)
    ports.results.put(key, content, content_type="application/gzip")
    sure = [page.confidence for page in pages if page.confidence is not None]
    return msgspec.structs.replace(
        outcome, engine=pages[0].engine, result_key=key, confidence=round(sum(sure) / len(sure), 4) if sure else None
    )


def _state(answer: Page | Rejection) -> PageState:
    return answer.state if isinstance(answer, Page) else "QUARANTINED"


def _unpack(document: DocumentRow, message: PagesRequested, ports: Ports) -> None:
    send_waiting(document, ports.ledger.unpack(document.document_id, message.first, message.last), ports)
    announce.ready(ports.ledger.document(document.document_id), ports)


def give_up(message: PagesRequested | VisionRequested, error: Exception, queue: str, ports: Ports) -> bool:
    """Count a real failure of a message of `queue`; at the last one send it to the dead letters and return True: it can be acknowledged."""
    first, last = (message.first, message.last) if isinstance(message, PagesRequested) else (message.page, message.page)
    # Only our own sentences are known to hold no document text.
    failure = str(error) if isinstance(error, EscribaError) else f"an internal error ({type(error).__name__})"
    failures = ports.ledger.count_failure(message.document_id, first, last, message.generation, failure)
    ports.meter.log(
        "warning",
        "pages failed",
        document_id=message.document_id,
        first=first,
        last=last,
        failures=failures,
        failure=failure,
    )
    ports.meter.count("PageFailures")
    if failures < (MAX_TIMEOUTS if isinstance(error, EngineTimeout) else MAX_FAILURES):
        return False
    ports.queues[f"{queue}-dlq"].send([encode(message)])
    return True
