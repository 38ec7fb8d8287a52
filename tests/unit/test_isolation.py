"""The child process that opens documents may die, hang, devour memory or lie, and its handler lives to tell."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from escriba.document import Page
from escriba.errors import Corrupt, EngineMissing, EngineOutOfMemory, EngineTimeout, EngineUnavailable, Unsupported
from escriba.isolated import Answer, Request, Worker, frame, read_exactly, serve
from escriba.isolation import IsolatedReader
from escriba.policy import Limits, Ocr, Policy
from escriba.ports import Inspection, Rejection
from escriba.triage import choose_route
from tests.documents import DEVOUR, DIE, EXAMPLES, FAIL, HANG, LEAVE, PRINT, install_obedient, orders_pdf, picture, text_pdf

POLICY = Policy(ocr=Ocr(engine="obedient"), limits=Limits(page_seconds=4))


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[IsolatedReader]:
    install_obedient(tmp_path)
    made = IsolatedReader(memory_mb=2000, extra_engines={"obedient": "obedient_engine:Obedient"})
    yield made
    made.close()
    sys.path.remove(str(tmp_path))


def orders(tmp_path: Path, *given: int) -> Path:
    path = tmp_path / "orders.pdf"
    path.write_bytes(orders_pdf(list(given)))
    return path


@pytest.mark.parametrize(
    ("order", "error", "sentence"),
    [
        (DIE, EngineUnavailable, "killed by signal 9"),
        (LEAVE, EngineUnavailable, "ended by itself with status 3"),
        (HANG, EngineTimeout, "did not answer within 4 s"),
        (DEVOUR, EngineOutOfMemory, "more than its 2000 MiB"),
        (FAIL, EngineUnavailable, r"failed inside \(ValueError\)$"),
    ],
)
def test_trouble_in_the_child_is_a_retryable_error_and_the_next_page_is_read(
    reader: IsolatedReader, tmp_path: Path, order: int, error: type[Exception], sentence: str
) -> None:
    """Each way to go wrong has its own error, none quotes the document, and a fresh child reads on."""
    path = orders(tmp_path, order, 0)
    with pytest.raises(error, match=sentence) as raised:
        reader.read(path, POLICY, "ocr", 1, 1, 0)
    assert "secret" not in str(raised.value)
    [page] = reader.read(path, POLICY, "ocr", 2, 2, 0)
    assert isinstance(page, Page)
    assert [word.text for word in page.words()] == ["shade-2"]


def test_what_a_library_prints_gets_between_nothing(reader: IsolatedReader, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Prints of the child reach neither the answers nor the terminal."""
    [page] = reader.read(orders(tmp_path, PRINT), POLICY, "ocr", 1, 1, 0)
    assert isinstance(page, Page)
    assert "secret" not in "".join(capfd.readouterr())


def test_a_page_knows_its_number_engine_state_and_confidence(reader: IsolatedReader, tmp_path: Path) -> None:
    """A cut page is numbered as in its document; low confidence makes it DEGRADED, with the reason."""
    path = orders(tmp_path, 0)
    [page] = reader.read(path, POLICY, "ocr", 41, 41, 40)
    assert isinstance(page, Page)
    assert (page.number, page.engine, page.state, page.confidence, page.route) == (41, "obedient", "DONE", 0.95, "ocr")
    strict = POLICY.model_copy(update={"ocr": Ocr(engine="obedient", min_confidence=0.99)})
    [page] = reader.read(path, strict, "ocr", 1, 1, 0)
    assert isinstance(page, Page)
    assert (page.state, page.reason) == ("DEGRADED", "low confidence (0.95)")


def test_one_child_serves_many_calls_and_ends_with_close(reader: IsolatedReader) -> None:
    """The process is long-lived, and `close` ends it."""
    path = EXAMPLES / "report.pdf"
    first = reader.inspect(path, POLICY, 1, 1)
    pid = reader.pid
    both = reader.inspect(path, POLICY, 1, 500)
    assert reader.pid == pid > 0
    assert (first.total, len(first.features), len(both.features)) == (2, 1, 2)
    reader.close()
    assert reader.pid == 0
    assert not psutil.pid_exists(pid)


def test_permanent_errors_come_through_as_themselves(reader: IsolatedReader, tmp_path: Path) -> None:
    """The class and the sentence of the child's error are the parent's."""
    path = tmp_path / "x"
    path.write_bytes(b"plain")
    with pytest.raises(Unsupported, match="plain text"):
        reader.inspect(path, POLICY, 1, 1)
    path.write_bytes(b"%PDF-1.4 broken")
    with pytest.raises(Corrupt):
        reader.inspect(path, POLICY, 1, 1)


def test_an_image_sent_the_text_layers_way_is_rejected_page_by_page(reader: IsolatedReader, tmp_path: Path) -> None:
    """An engine's refusal is a Rejection, not a failure."""
    path = tmp_path / "x"
    path.write_bytes(picture("text"))
    assert reader.read(path, POLICY, "text_layer", 1, 1, 0) == [Rejection(1, "engine_rejected", "an image has no text layer")]


class Stumbling(IsolatedReader):
    """Dies of looking at page 2, in company or alone."""

    def _ask(self, request: Request, seconds: float) -> bytes:
        if request.task == "inspect" and request.first <= 2 <= request.last:
            raise EngineTimeout(f"not within {seconds}")
        return super()._ask(request, seconds)


def test_a_page_that_cannot_be_looked_at_hides_no_other() -> None:
    """The others are looked at one by one; it gets the features of a page that shows nothing, and so the route of pixels."""
    stumbling = Stumbling()
    seen = stumbling.inspect(EXAMPLES / "mixed.pdf", POLICY, 1, 500)
    stumbling.close()
    assert (seen.total, [page.number for page in seen.features]) == (4, [1, 2, 3, 4])
    assert [choose_route(page, POLICY.triage) for page in seen.features] == ["text_layer", "ocr", "text_layer", "text_layer"]
    assert (seen.features[1].width, seen.features[2].width) == (0, 842)


def test_cut_and_picture(reader: IsolatedReader, tmp_path: Path) -> None:
    """A cut page is a document of one page; a picture is a JPEG within its bounds."""
    path = tmp_path / "x"
    path.write_bytes(reader.cut(EXAMPLES / "mixed.pdf", POLICY, 3))
    seen = reader.inspect(path, POLICY, 1, 9)
    assert (seen.total, seen.features[0].rotation, round(seen.features[0].width)) == (1, 90, 842)
    from PIL import Image

    image = Image.open(io.BytesIO(reader.picture(EXAMPLES / "mixed.pdf", POLICY, 3, 300)))
    assert (image.format, max(image.size)) == ("JPEG", 300)


def test_versions_need_no_child_and_unknown_engines_are_named(reader: IsolatedReader) -> None:
    """Versions are known without starting a process; an unknown engine is a configuration error."""
    assert reader.engine_versions(POLICY).keys() == {"text_layer", "obedient"}
    assert reader.pid == 0
    with pytest.raises(EngineMissing, match="installed are"):
        reader.engine_versions(Policy(ocr=Ocr(engine="nobody")))


def test_the_child_dies_with_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill the parent while the child is busy: no orphan stays."""
    install_obedient(tmp_path)
    log = tmp_path / "log"
    monkeypatch.setenv("OBEDIENT_LOG", str(log))
    path = orders(tmp_path, HANG)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from pathlib import Path; from escriba.isolation import IsolatedReader; from escriba.policy import *\n"
        "r = IsolatedReader(extra_engines={'obedient': 'obedient_engine:Obedient'})\n"
        "p = Policy(ocr=Ocr(engine='obedient')); r.engine_versions(p); r.inspect(Path(sys.argv[1]), p, 1, 1); print(r.pid, flush=True)\n"
        "r.read(Path(sys.argv[1]), p, 'ocr', 1, 1, 0)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    deadline = time.monotonic() + 30
    # Before it is busy it would end of itself, when its pipe does.
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def ask(worker: Worker, *requests: Request) -> list[Answer]:
    """Put requests through the child's loop, in this process."""
    given = io.BytesIO(b"".join(frame(msgspec.msgpack.encode(request)) for request in requests))
    taken = io.BytesIO()
    serve(given.read, taken, worker)
    taken.seek(0)
    return [
        msgspec.msgpack.decode(read_exactly(taken.read, int.from_bytes(read_exactly(taken.read, 4), "big")), type=Answer) for _ in requests
    ]


def test_the_childs_loop(tmp_path: Path) -> None:
    """Request by request: open once, inspect, cut, read, picture, refuse; an end of input ends it."""
    path = tmp_path / "x.pdf"
    path.write_bytes(text_pdf("one word", "two words"))
    other = tmp_path / "y"
    other.write_bytes(b"nothing")
    policy = Policy().model_dump_json()
    worker = Worker({})
    greeting, seen, cut, got, picture_, missing, refused, again = ask(
        worker,
        Request("greet", "", ""),
        Request("inspect", str(path), policy, 1, 9),
        Request("cut", str(path), policy, 2, 2),
        Request("read", str(path), policy, 1, 2, 0),
        Request("picture", str(path), policy, 1, pixels=100),
        Request("read", str(path), policy, 7, 7, 0),
        Request("inspect", str(other), policy, 1, 1),
        Request("inspect", str(tmp_path / "nowhere"), policy, 1, 1),
    )
    assert greeting == Answer()
    assert msgspec.msgpack.decode(seen.body, type=Inspection).total == 2
    assert cut.body.startswith(b"%PDF")
    assert msgspec.msgpack.decode(got.body)[0] == [True, True]
    assert picture_.body.startswith(b"\xff\xd8")
    assert msgspec.msgpack.decode(missing.body)[0] == [False]
    assert (refused.code, again.error, again.message) == ("unsupported", "FileNotFoundError", "")


def test_frames_may_come_in_pieces_and_break_off() -> None:
    """A pipe gives what it has; an end in the middle is an EOFError."""
    pieces = iter([b"ab", b"c", b""])
    assert read_exactly(lambda size: next(pieces), 3) == b"abc"
    with pytest.raises(EOFError):
        read_exactly(lambda size: next(pieces), 1)
