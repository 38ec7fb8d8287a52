"""What the stages need from the world, as Protocols, and the rows and answers that cross them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from escriba.document import Block, Page, PageState, Route
from escriba.errors import EngineRejected
from escriba.messages import Message
from escriba.policy import Policy

DocumentState = Literal["RECEIVED", "PLANNED", "READING", "ASSEMBLING", "DONE", "PARTIAL", "REJECTED"]
FINISHED: frozenset[DocumentState] = frozenset({"DONE", "PARTIAL", "REJECTED"})
DELIVERED: frozenset[DocumentState] = frozenset({"DONE", "PARTIAL"})


# --- rows of the ledger -------------------------------------------------------------------------------------------


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """One upload. `document_id` is empty where the upload was rejected before its bytes were known."""

    job_id: str
    tenant: str
    key: str
    document_id: str = ""
    code: str = ""
    reason: str = ""


class DocumentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One reading and where its pages are: `total == waiting + done + degraded + quarantined` from PLANNED on.

    `revision` is the newest one asked for, `started` the newest whose assembly began, `current` the newest delivered.
    """

    document_id: str
    tenant: str
    policy: str
    sha256: str
    name: str
    original_key: str
    state: DocumentState = "RECEIVED"
    generation: int = 1
    code: str = ""
    reason: str = ""
    media_type: str = ""
    total: int = 0
    waiting: int = 0
    done: int = 0
    degraded: int = 0
    quarantined: int = 0
    revision: int = 1
    started: int = 0
    current: int = 0
    received_at: float = 0.0
    completed_at: float = 0.0

    @property
    def output_prefix(self) -> str:
        """Where the current revision's outputs stand in the results bucket."""
        return output_prefix(self.tenant, self.document_id, self.current)


class PagesRow(msgspec.Struct, frozen=True, kw_only=True):
    """Pages `first` to `last`, which travel, wait and finish together: one page for OCR, up to fifty for a text layer."""

    first: int
    last: int
    route: Route
    object_key: str
    offset: int
    state: PageState = "WAITING"
    generation: int = 1
    attempts: int = 0
    failure: str = ""
    reason: str = ""
    engine: str = ""
    result_key: str = ""
    confidence: float | None = None
    seconds: float = 0.0
    queue: str = "pages"
    sent_at: float = 0.0

    @property
    def pages(self) -> int:
        return self.last - self.first + 1


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How the reading of pages `first` to `last` ended."""

    first: int
    last: int
    generation: int
    state: PageState
    reason: str = ""
    engine: str = ""
    result_key: str = ""
    confidence: float | None = None
    seconds: float = 0.0


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead message whose page or document cannot be named; `body` is kept for a person to look at."""

    message_id: str
    queue: str
    reason: str
    body: str


class Ledger(Protocol):
    """The one memory of the pipeline. Every move is conditional: running any of these twice, late or in parallel is safe."""

    def accept(self, job: JobRow, document: DocumentRow) -> DocumentRow:
        """Record the job; create its document unless it is known (one that its surroundings failed is opened again)."""
    def reject_job(self, job: JobRow) -> None:
        """Record an upload that never became a document, with its `code` and `reason`."""
    def job(self, job_id: str) -> JobRow | None: ...
    def document(self, document_id: str) -> DocumentRow:
        """Raises `NotFound`."""
    def documents(self) -> Iterator[DocumentRow]:
        """Every document: for one machine's state, not for a deployment's history."""
    def pages(self, document_id: str) -> Iterator[PagesRow]:
        """All rows of a document in page order."""
    def pages_row(self, document_id: str, first: int, last: int) -> PagesRow | None: ...
    def add_pages(self, document_id: str, rows: Sequence[PagesRow]) -> None:
        """Create the rows that do not exist yet."""
    def planned(self, document_id: str, total: int, media_type: str) -> DocumentRow:
        """RECEIVED -> PLANNED with every page waiting; otherwise no change."""
    def reading(self, document_id: str) -> DocumentRow:
        """PLANNED -> READING; otherwise no change."""
    def complete(self, document_id: str, outcomes: Sequence[Outcome]) -> DocumentRow:
        """Apply the outcomes that move their pages forward, in one transaction of at most 99; stale ones change nothing.

        A better outcome for an already delivered document asks for a new revision in the same transaction.
        """
    def count_failure(self, document_id: str, first: int, last: int, generation: int, failure: str) -> int:
        """Count a real failure of waiting pages and keep its sentence; returns the failures so far."""
    def unpack(self, document_id: str, first: int, last: int) -> Sequence[PagesRow]:
        """Replace a waiting packed row by one row a page; returns the single rows that stand in its place."""
    def reject(self, document_id: str, code: str, reason: str) -> DocumentRow:
        """End a document of which nothing was delivered; otherwise no change."""
    def begin_assembly(self, document_id: str, revision: int) -> DocumentRow | None:
        """None when pages wait or this revision or a later one is already current."""
    def publish(self, document_id: str, revision: int, state: DocumentState) -> DocumentRow | None:
        """Move `current` forward to `revision`; None when a newer or equal one is current."""
    def record_dead_letter(self, letter: DeadLetter) -> None: ...
    def dead_letters(self) -> Iterator[DeadLetter]: ...


def conservation_violation(document: DocumentRow, rows: Sequence[PagesRow]) -> str:
    """Empty when every page is accounted for exactly once, otherwise one sentence. The law of the house; pure."""
    if document.state in {"RECEIVED", "REJECTED"}:
        return ""
    counted: dict[str, int] = {"WAITING": 0, "DONE": 0, "DEGRADED": 0, "QUARANTINED": 0}
    expected = 1
    for row in sorted(rows, key=lambda r: r.first):
        if row.first != expected:
            return f"pages {expected} to {row.first - 1} have no row or more than one"
        expected = row.last + 1
        counted[row.state] += row.pages
    if expected != document.total + 1:
        return f"rows end at page {expected - 1} of {document.total}"
    kept = {"WAITING": document.waiting, "DONE": document.done, "DEGRADED": document.degraded, "QUARANTINED": document.quarantined}
    return "" if kept == counted else f"the document counts {kept}, its rows {counted}"


# --- objects, queues, time, telemetry -----------------------------------------------------------------------------


class ObjectStore(Protocol):
    """One bucket. Keys are strings, versions empty where the bucket keeps none. All raise `NotFound` for a missing object."""

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> str:
        """Store bytes; returns the version id ("" without versioning)."""
    def get(self, key: str, *, version: str = "") -> bytes: ...
    def size(self, key: str, *, version: str = "") -> int:
        """Bytes."""
    def upload(self, path: Path, key: str, *, content_type: str = "application/octet-stream") -> str:
        """Store a file without holding it in memory; returns the version id."""
    def download(self, key: str, path: Path, *, version: str = "") -> None: ...
    def delete(self, key: str, *, version: str = "") -> None: ...
    def keys(self, prefix: str) -> Iterator[str]: ...


@dataclass(frozen=True)
class Delivery:
    """A received message: `receives` counts this one too."""

    message_id: str
    receipt: str
    body: str
    receives: int


@dataclass(frozen=True)
class Depth:
    """Messages in a queue, approximately."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        return self.visible + self.in_flight + self.delayed


class Queue(Protocol):
    """A standard queue: at least once, in no order, redriven to its dead-letter queue after its maximum of receives."""

    @property
    def name(self) -> str: ...
    def send(self, bodies: Sequence[str], *, delay: int = 0, tenant: str = "") -> None:
        """Send all or raise; `delay` in seconds (at most 900); `tenant` keeps one tenant from starving the others."""
    def receive(self, limit: int) -> Sequence[Delivery]:
        """At most `limit` (1 to 10) messages, hidden for the queue's visibility timeout; empty at once when there are none."""
    def delete(self, receipt: str) -> None: ...
    def change_visibility(self, receipt: str, seconds: int) -> None: ...
    def depth(self) -> Depth: ...


class EventBus(Protocol):
    """Where the outside learns of finished documents."""

    def publish(self, message: Message) -> None: ...


class Clock(Protocol):
    """Time. `sleep` waits on this clock, so that a test's hours pass in no time."""

    def now(self) -> datetime:
        """An aware UTC time."""
    def sleep(self, seconds: float) -> None: ...


class Meter(Protocol):
    """Metrics and log lines; never document text."""

    def count(self, metric: str, value: float = 1, *, unit: str = "Count", **dimensions: str) -> None: ...
    def log(self, level: Literal["debug", "info", "warning", "error"], event: str, **fields: Any) -> None: ...


# --- reading ------------------------------------------------------------------------------------------------------


class PageFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """What is cheap to know of a page before it is read. Sizes in points as displayed; shares from 0 to 1."""

    number: int
    width: float
    height: float
    rotation: int = 0
    characters: int = 0
    junk: float = 0.0
    hidden_text: float = 0.0
    image_coverage: float = 0.0
    rulings: int = 0


class Inspection(msgspec.Struct, frozen=True):
    """A document opened: its kind, its page count and the features of the pages asked for."""

    media_type: str
    total: int
    features: tuple[PageFeatures, ...]


class Rejection(msgspec.Struct, frozen=True):
    """A page that an engine refused for good."""

    number: int
    code: str
    reason: str


class Reader(Protocol):
    """Opens hostile bytes somewhere they can do no harm (`isolation.py`). Raises the taxonomy of `errors.py`."""

    def inspect(self, path: Path, policy: Policy, first: int, last: int) -> Inspection:
        """Open the file and look at pages `first` to `last` (clipped to what there is)."""
    def cut(self, path: Path, number: int) -> bytes:
        """Page `number` alone, as a file of its own that `read` can open."""
    def read(self, path: Path, policy: Policy, route: Route, first: int, last: int, offset: int) -> Sequence[Page | Rejection]:
        """Read document pages `first` to `last`, which are pages `first - offset` to `last - offset` of the file."""
    def engine_versions(self, policy: Policy) -> Mapping[str, str]:
        """Name and version of each engine that the policy may use."""


class PageSource(Protocol):
    """One page for an engine: pixels on demand, or the native page for an engine that reads the file itself."""

    number: int
    width: float
    height: float

    def image(self, dpi: int) -> Any:
        """The page as displayed: a uint8 RGB array of shape (height, width, 3) at `dpi` dots per inch."""
    def native(self) -> Any:
        """The PyMuPDF page, or None for an image file."""


class Engine(Protocol):
    """Reads pages. Made once a process as `Engine(languages, policy_section)`; found by entry point group `escriba.engines`."""

    name: str
    version: str

    def read(self, pages: Sequence[PageSource], policy: Policy) -> Sequence[Sequence[Block] | EngineRejected]:
        """One answer a page, in order: its blocks in reading order (boxes in points as displayed), or its refusal."""


@dataclass(frozen=True)
class Ports:
    """Everything a stage may touch."""

    inbox: ObjectStore
    results: ObjectStore
    ledger: Ledger
    queues: Mapping[str, Queue]
    events: EventBus
    clock: Clock
    meter: Meter
    reader: Reader


def output_prefix(tenant: str, document_id: str, revision: int) -> str:
    """Key prefix of one revision's outputs in the results bucket."""
    return f"documents/{tenant}/{document_id}/r{revision}/"
