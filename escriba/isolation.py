"""Opens and reads hostile documents in a child process with limits on memory and time, so that the handler lives to tell.

One long-lived child a handler, plain subprocess and pipes (Lambda has no /dev/shm). The child's side is `isolated.py`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec

from escriba import engines
from escriba.document import BoundingBox, Page, Route
from escriba.errors import EngineOutOfMemory, EngineTimeout, EngineUnavailable, RetryableError, rejection
from escriba.isolated import Answer, Request, frame, read_exactly
from escriba.policy import Policy
from escriba.ports import Inspection, PageFeatures, Picture, Rejection

_LOOK_SECONDS = 20.0  # for a range of pages; each needs milliseconds
_LOOK_AT_ONE_SECONDS = 5.0
_PICTURE_SECONDS = 10.0
_WRITE_SECONDS = 0.2  # a page of the searchable PDF
_START_SECONDS = 60.0
_HEADER = 4
_INSPECTION = msgspec.msgpack.Decoder(Inspection)
_PAGE, _REJECTION = msgspec.msgpack.Decoder(Page), msgspec.msgpack.Decoder(Rejection)
_PICTURE = msgspec.msgpack.Decoder(Picture)


class IsolatedReader:
    """Implements `ports.Reader` for one caller at a time."""

    def __init__(self, *, memory_mb: int = 3000, extra_engines: Mapping[str, str] | None = None) -> None:
        """`memory_mb` bounds the child's address space (Linux); `extra_engines` adds engines as `{name: "module:Class"}`."""
        self._memory_mb, self._extra = memory_mb, dict(extra_engines or {})
        self._child: subprocess.Popen[bytes] | None = None

    def prepare(self, path: Path, policy: Policy, passwords: Sequence[str]) -> Path | None:
        request = Request("prepare", str(path), policy.model_dump_json(), passwords=tuple(passwords))
        copy = self._ask(request, _LOOK_SECONDS).decode()
        return Path(copy) if copy else None

    def inspect(self, path: Path, policy: Policy, first: int, last: int) -> Inspection:
        try:
            return _INSPECTION.decode(self._look("inspect", path, policy, first, last))
        except RetryableError:
            return self._inspect_singly(path, policy, first, last)

    def _inspect_singly(self, path: Path, policy: Policy, first: int, last: int) -> Inspection:
        """One page after the other: what kills or stops the child on one page must not hide the others."""
        whole = _INSPECTION.decode(self._look("inspect", path, policy, first, first - 1))
        features = []
        for number in range(first, min(last, whole.total) + 1):
            try:
                [page] = _INSPECTION.decode(self._look("inspect", path, policy, number, number, _LOOK_AT_ONE_SECONDS)).features
            except RetryableError:
                # It goes alone, by the route of pages that show nothing; whoever reads it will say what is wrong.
                page = PageFeatures(number=number, width=0, height=0, image_coverage=1.0)
            features.append(page)
        return Inspection(whole.media_type, whole.total, tuple(features))

    def cut(self, path: Path, policy: Policy, number: int) -> bytes:
        return self._look("cut", path, policy, number, number)

    def picture(self, path: Path, policy: Policy, number: int, pixels: int, turned: int = 0) -> bytes:
        request = Request("picture", str(path), policy.model_dump_json(), first=number, pixels=pixels, turned=turned)
        return self._ask(request, _PICTURE_SECONDS)

    def render(self, path: Path, policy: Policy, number: int, pixels: int, *, turned: int = 0, box: BoundingBox | None = None) -> Picture:
        request = Request("render", str(path), policy.model_dump_json(), first=number, pixels=pixels, turned=turned, box=box)
        return _PICTURE.decode(self._ask(request, _PICTURE_SECONDS))

    def write_pdf(self, path: Path, policy: Policy, pages: Path, out: Path, total: int) -> None:
        request = Request("write_pdf", str(path), policy.model_dump_json(), pages=str(pages), out=str(out))
        self._ask(request, _LOOK_SECONDS + _WRITE_SECONDS * total)

    def _look(self, task: str, path: Path, policy: Policy, first: int, last: int, seconds: float = _LOOK_SECONDS) -> bytes:
        return self._ask(Request(task, str(path), policy.model_dump_json(), first=first, last=last), seconds)

    def read(self, path: Path, policy: Policy, route: Route, first: int, last: int, offset: int) -> Sequence[Page | Rejection]:
        seconds = policy.limits.page_seconds * (last - first + 1)
        request = Request("read", str(path), policy.model_dump_json(), first=first, last=last, offset=offset, route=route)
        kinds, bodies = msgspec.msgpack.decode(self._ask(request, seconds), type=tuple[list[bool], list[msgspec.Raw]])
        return [_PAGE.decode(body) if is_page else _REJECTION.decode(body) for is_page, body in zip(kinds, bodies, strict=True)]

    def engine_versions(self, policy: Policy) -> Mapping[str, str]:
        wanted = {name: engines.load(name, self._extra) for name in ("text_layer", policy.ocr.engine)}
        for engine in tuple(wanted.values()):
            if hasattr(engine, "check"):
                engine.check(policy)
            if hasattr(engine, "members"):
                wanted |= {name: engines.load(name, self._extra) for name in engine.members(policy)}
        return {name: engine.version for name, engine in wanted.items()}

    def close(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()

    @property
    def pid(self) -> int:
        """The child's process id, 0 while there is none."""
        return self._child.pid if self._child is not None else 0

    def _ask(self, request: Request, seconds: float) -> bytes:
        child = self._running()
        return self._converse(child, request, seconds)

    def _converse(self, child: subprocess.Popen[bytes], request: Request, seconds: float) -> bytes:
        deadline = time.monotonic() + seconds
        try:
            assert child.stdin is not None  # noqa: S101  (opened with pipes)
            assert child.stdout is not None  # noqa: S101
            child.stdin.write(frame(msgspec.msgpack.encode(request)))
            child.stdin.flush()
            length = int.from_bytes(_read_until(child.stdout, _HEADER, deadline), "big")
            answer = msgspec.msgpack.decode(_read_until(child.stdout, length, deadline), type=Answer)
        except TimeoutError:
            self.close()
            raise EngineTimeout(f"the reader did not answer within {seconds:g} s and was stopped") from None
        except (EOFError, BrokenPipeError):
            raise EngineUnavailable(self._obituary()) from None
        return self._unwrap(answer)

    def _unwrap(self, answer: Answer) -> bytes:
        if not answer.error:
            return answer.body
        if answer.error == "MemoryError":
            self.close()
            raise EngineOutOfMemory(f"the reader needed more than its {self._memory_mb} MiB of memory")
        if answer.code:
            raise rejection(answer.code, answer.message)
        raise EngineUnavailable(f"the reader failed inside ({answer.error})")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self.close()
            options = json.dumps({"memory_mb": self._memory_mb, "extra_engines": self._extra, "path": sys.path})
            self._child = subprocess.Popen(  # noqa: S603  (our own module, by our own interpreter)
                [sys.executable, "-m", "escriba.isolated", options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1"},
                start_new_session=True,  # Ctrl-C in a terminal is for the parent to handle
            )
            # A slow start (a cold disk, a busy machine) is not the page's fault: it has its own limit.
            self._converse(self._child, Request("greet", "", ""), _START_SECONDS)
        return self._child

    def _obituary(self) -> str:
        child = self._child
        code = child.wait() if child is not None else 0
        self.close()
        if code < 0:
            return f"the reader's process was killed by signal {-code} ({signal.Signals(-code).name})"
        return f"the reader's process ended by itself with status {code}"


def _read_until(pipe: IO[bytes], length: int, deadline: float) -> bytes:
    """Exactly `length` bytes, or TimeoutError at the deadline, or EOFError."""

    def some(size: int) -> bytes:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        return os.read(pipe.fileno(), size)

    return read_exactly(some, length)
