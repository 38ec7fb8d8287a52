"""The child's side of `isolation.py`: opens documents, asks engines, answers in frames; it may die at any moment and harm nobody."""

from __future__ import annotations

import ctypes
import io
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import msgspec

from escriba.document import BoundingBox, Page, Route
from escriba.errors import Encrypted, PermanentError
from escriba.policy import Policy
from escriba.ports import Engine, Inspection, Rejection

_HEADER = 4
_PR_SET_PDEATHSIG = 1


class Request(msgspec.Struct, frozen=True, array_like=True):
    """What the parent asks: a task, the file, the policy's JSON and the pages."""

    task: str
    path: str
    policy: str
    first: int = 0
    last: int = 0
    offset: int = 0
    route: Route = "text_layer"
    passwords: tuple[str, ...] = ()
    pages: str = ""
    out: str = ""
    pixels: int = 0
    turned: int = 0
    box: BoundingBox | None = None


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What the child answers: a body, or the name of an error with the code and sentence of a permanent one."""

    body: bytes = b""
    error: str = ""
    code: str = ""
    message: str = ""


def frame(content: bytes) -> bytes:
    """Content with its length before it (4 bytes, big-endian)."""
    return len(content).to_bytes(_HEADER, "big") + content


def read_exactly(some: Callable[[int], bytes], length: int) -> bytes:
    """`length` bytes from a source that may give fewer at a time. Raises EOFError when it ends before."""
    parts: list[bytes] = []
    while length:
        part = some(min(length, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


class Worker:
    """Does the tasks; keeps the last document open and every engine loaded."""

    def __init__(self, extra_engines: dict[str, str]) -> None:
        self._extra = extra_engines
        self._engines: dict[str, Engine] = {}
        self._open: tuple[tuple[str, int, int], Any] | None = None

    def answer(self, request: Request) -> Answer:
        """Never raises, except what ends the process."""
        try:
            return Answer(getattr(self, f"do_{request.task}")(request))
        except PermanentError as error:
            return Answer(error=type(error).__name__, code=error.code, message=str(error))
        except Exception as error:  # noqa: BLE001  (its text may quote the document: only its name leaves this process)
            return Answer(error=type(error).__name__)

    def do_greet(self, request: Request) -> bytes:
        """Nothing: the child is up."""
        return b""

    def do_inspect(self, request: Request) -> bytes:
        """An Inspection."""
        source = self._source(request)
        last = min(request.last, source.page_count)
        features = tuple(source.features(number) for number in range(request.first, last + 1))
        return msgspec.msgpack.encode(Inspection(source.media_type, source.page_count, features))

    def do_prepare(self, request: Request) -> bytes:
        """The path of a plain copy, empty when the file can be read as it stands."""
        from escriba.sources.plain_copy import write_plain_copy  # noqa: PLC0415

        try:
            if not getattr(self._source(request), "is_portfolio", False):
                return b""
        except Encrypted:
            pass
        copy = Path(request.path).with_suffix(".plain")
        return str(copy).encode() if write_plain_copy(Path(request.path), copy, _policy(request).limits, request.passwords) else b""

    def do_cut(self, request: Request) -> bytes:
        """The page's file."""
        return bytes(self._source(request).cut(request.first))

    def do_picture(self, request: Request) -> bytes:
        """A JPEG."""
        from PIL import Image  # noqa: PLC0415  (only reports need it)

        picture = Image.fromarray(self._source(request).page(request.first).image(100))
        picture.thumbnail((request.pixels, request.pixels))
        picture = picture.rotate(-request.turned, expand=True)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=70)
        return out.getvalue()

    def do_render(self, request: Request) -> bytes:
        """A Picture."""
        from escriba.layout.rendering import rendered  # noqa: PLC0415  (only pages that go to a model need it)

        page = self._source(request).page(request.first)
        return msgspec.msgpack.encode(rendered(page, request.pixels, request.turned, request.box))

    def do_write_pdf(self, request: Request) -> bytes:
        """Nothing: the PDF stands at `out`. `pages` is a file of pages, one in JSON a line."""
        from escriba.formats.searchable_pdf import write_searchable_pdf  # noqa: PLC0415

        decoder = msgspec.json.Decoder(Page)
        with Path(request.pages).open("rb") as lines:
            write_searchable_pdf(self._source(request), Path(request.path), map(decoder.decode, lines), Path(request.out))
        return b""

    def do_read(self, request: Request) -> bytes:
        """Which answers are pages, and the answers."""
        policy = _policy(request)
        source = self._source(request)
        engine = self._engine("text_layer" if request.route == "text_layer" else policy.ocr.engine)
        answers = [self._read_page(number, source, request, engine, policy) for number in range(request.first, request.last + 1)]
        return msgspec.msgpack.encode(([isinstance(answer, Page) for answer in answers], answers))

    @staticmethod
    def _read_page(number: int, source: Any, request: Request, engine: Engine, policy: Policy) -> Page | Rejection:
        from escriba.engines.one_page import read_page  # noqa: PLC0415

        try:
            shape = source.page(number - request.offset)
        except PermanentError as error:
            return Rejection(number, error.code, str(error))
        return read_page(number, request.route, shape, engine, policy)

    def _source(self, request: Request) -> Any:
        from escriba.sources.opening import open_source  # noqa: PLC0415  (a broken library must not keep the child from answering)

        path = Path(request.path)
        stat = path.stat()
        key = (request.path, stat.st_mtime_ns, stat.st_size)
        if self._open is None or self._open[0] != key:
            if self._open is not None:
                self._open[1].close()
                self._open = None
            self._open = (key, open_source(path, _policy(request).limits))
        return self._open[1]

    def _engine(self, name: str) -> Engine:
        from escriba.engines import load  # noqa: PLC0415

        if name not in self._engines:
            self._engines[name] = load(name, self._extra)
        return self._engines[name]


def _policy(request: Request) -> Policy:
    return Policy.model_validate_json(request.policy) if request.policy else Policy()


def serve(requests: Callable[[int], bytes], answers: IO[bytes], worker: Worker) -> None:
    """Answer requests until they end."""
    while True:
        try:
            length = int.from_bytes(read_exactly(requests, _HEADER), "big")
            content = read_exactly(requests, length)
        except EOFError:
            return
        answers.write(frame(msgspec.msgpack.encode(worker.answer(msgspec.msgpack.decode(content, type=Request)))))
        answers.flush()


def limit_memory(mebibytes: int) -> None:
    """Bound this process's address space; where the system does not (macOS), go without."""
    try:
        resource.setrlimit(resource.RLIMIT_AS, (mebibytes << 20, mebibytes << 20))
    except (ValueError, OSError):
        sys.stderr.write("escriba: this system sets no limit on a process's memory\n")


def die_with_parent() -> None:
    """On Linux, end when the parent does, even while busy; elsewhere the end of the pipe has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(options: str) -> None:
    """Serve on standard input and output, with the limits the parent asks for."""
    wishes = json.loads(options)
    sys.path[:] = wishes["path"]
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_memory(wishes["memory_mb"])
    # Frames go out by a descriptor of their own: what a library prints must neither get between them nor be seen (it may quote).
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    serve(lambda size: os.read(0, size), answers, Worker(wishes["extra_engines"]))


if __name__ == "__main__":
    main(sys.argv[1])
