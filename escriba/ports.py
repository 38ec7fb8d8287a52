"""What the stages need from the world, as Protocols, and the answers that cross them (the ledger's stands in `ledger.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from escriba.backends import Backend
from escriba.document import Block, BoundingBox, Field, Link, Page, Route
from escriba.errors import ConfigurationError, EngineRejected
from escriba.ledger import Ledger
from escriba.messages import Message
from escriba.policy import Policy
from escriba.recovery import Recovery
from escriba.topology import UPGRADE_WINDOW
from escriba.vision import VisionModel


@dataclass(frozen=True)
class StoredVersion:
    """One version of an object: bytes, and seconds since 1970 when it was stored."""

    key: str
    version: str
    size: int
    stored_at: float


class ObjectStore(Protocol):
    """One bucket. Keys are strings, versions empty where the bucket keeps none. All raise `NotFound` for a missing object."""

    @property
    def bucket(self) -> str:
        """Its name."""

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
    def versions(self, prefix: str) -> Iterator[StoredVersion]:
        """Every version that is there, of a bucket that keeps them."""


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

    def receive(self, limit: int, *, wait: int = 0) -> Sequence[Delivery]:
        """At most `limit` (1 to 10) messages, hidden for the queue's visibility timeout; empty after `wait` seconds (0 to 20) without any."""

    def delete(self, receipt: str) -> None: ...
    def change_visibility(self, receipt: str, seconds: int) -> None: ...
    def hide(self, receipts: Sequence[str], seconds: int) -> None:
        """`change_visibility` of many, those left out that are no longer the caller's."""

    def depth(self) -> Depth: ...
    def oldest(self) -> float | None:
        """Seconds since the oldest message that is still there was sent, in flight or not; 0 for an empty queue, None when it is not known."""


@dataclass(frozen=True)
class Tasks:
    """How many tasks of a service are asked for, and how many of them run."""

    wanted: int
    running: int


class Service(Protocol):
    """A service whose number of tasks follows the work that waits for it."""

    def tasks(self) -> Tasks:
        """As it stands now. Raises `NotFound` where there is no such service."""


class Secrets(Protocol):
    """Where passwords are kept. They travel from here to the child process and nowhere else."""

    def get(self, reference: str) -> str:
        """The secret's text. Raises `NotFound`."""


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
    def flush(self) -> None:
        """Write out what was counted since the last flush."""


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
    drawings: int = 0


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


class Picture(msgspec.Struct, frozen=True):
    """A page or a part of one as a PNG of `width` times `height` pixels; `ink` is the share (0 to 1) of its pixels that are not background."""

    image: bytes
    width: int
    height: int
    ink: float


class Reader(Protocol):
    """Opens hostile bytes somewhere they can do no harm (`isolation.py`). Raises the taxonomy of `errors.py`."""

    def prepare(self, path: Path, policy: Policy, passwords: Sequence[str]) -> Path | None:
        """A plain copy beside `path` to read instead (unlocked, portfolio unfolded), or None when the file can be read as it stands."""

    def inspect(self, path: Path, policy: Policy, first: int, last: int) -> Inspection:
        """Open the file and look at pages `first` to `last` (clipped to what there is)."""

    def cut(self, path: Path, policy: Policy, number: int) -> bytes:
        """Page `number` alone, as a file of its own that `read` can open."""

    def read(self, path: Path, policy: Policy, route: Route, first: int, last: int, offset: int) -> Sequence[Page | Rejection]:
        """Read document pages `first` to `last`, which are pages `first - offset` to `last - offset` of the file; one answer a page, in order."""

    def picture(self, path: Path, policy: Policy, number: int, pixels: int, turned: int = 0) -> bytes:
        """Page `number` of a file as a JPEG of at most `pixels` on its longer side, turned clockwise, for a person to look at."""

    def render(self, path: Path, policy: Policy, number: int, pixels: int, *, turned: int = 0, box: BoundingBox | None = None) -> Picture:
        """Page `number` of a file, turned clockwise, and of it the box (points of the turned page), `pixels` on its longer side, for a model to read."""

    def write_pdf(self, path: Path, policy: Policy, pages: Path, out: Path, total: int) -> None:
        """Write the searchable PDF of a file of `total` pages to `out`; `pages` holds those read by OCR, one in JSON a line."""

    def engine_versions(self, policy: Policy) -> Mapping[str, str]:
        """Name and version of each engine that the policy may use. Raises `EngineMissing`."""

    def close(self) -> None:
        """End the child process, if there is one; the next call starts a fresh one."""


class PageSource(Protocol):
    """One page for an engine: pixels on demand, or the native page for an engine that reads the file itself."""

    number: int
    width: float
    height: float

    @property
    def flaw(self) -> str:
        """What was found wrong with the page when it was drawn: the reading stands, DEGRADED. Raises `Corrupt` when nothing is left of it."""

    def image(self, dpi: int) -> Any:
        """The page as displayed: a uint8 RGB array of shape (height, width, 3) at `dpi` dots per inch."""

    def native(self) -> Any:
        """The PyMuPDF page, or None for an image file."""


class Reading(msgspec.Struct, frozen=True):
    """What an engine read of a page: its blocks in reading order, boxes in points as displayed; nothing on a blank page.

    `engine` names the one that read it where the engine asked hands pages on to others; `disagreement` is the share (0 to 1) of the words on
    which two of them differ, None where one read alone.
    """

    blocks: tuple[Block, ...]
    engine: str = ""
    links: tuple[Link, ...] = ()
    fields: tuple[Field, ...] = ()
    disagreement: float | None = None


class Engine(Protocol):
    """Reads pages. Made once a process, without arguments; found by entry point group `escriba.engines`.

    One that cannot read under every policy has a method `check(policy)` too, which raises `EngineMissing` with the way out; one that hands
    pages on to others has `members(policy)`, their names.
    """

    name: str
    version: str

    def read(self, pages: Sequence[PageSource], policy: Policy) -> Sequence[Reading | EngineRejected]:
        """One answer a page, in order: what was read, or the refusal."""


def no_vision(backend: Backend) -> VisionModel:
    """What asks a backend where nothing can: raises `ConfigurationError`."""
    raise ConfigurationError(f"nothing here can ask the vision backend {backend.name!r}")


@dataclass(frozen=True)
class Ports:
    """Everything a stage may touch.

    `scratch` is a directory of this worker's own; `upgrade_window` the seconds for which late improvements are gathered; `policies`
    those that came with the deployment; `backends` its vision models, and `vision` what asks one of them; `gpu_service` the service that reads
    hard pages, which most deployments and most workers know nothing of.
    """

    inbox: ObjectStore
    results: ObjectStore
    ledger: Ledger
    recovery: Recovery
    queues: Mapping[str, Queue]
    events: EventBus
    clock: Clock
    meter: Meter
    reader: Reader
    secrets: Secrets
    scratch: Path
    upgrade_window: int = UPGRADE_WINDOW
    policies: Mapping[str, Policy] = field(default_factory=dict)
    backends: Sequence[Backend] = ()
    vision: Callable[[Backend], VisionModel] = field(default=no_vision)
    gpu_service: Service | None = None
