"""The limits that the child process lives under, and what reaches it from outside."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from escriba.document import Page
from escriba.errors import EngineOutOfMemory, EngineTimeout
from escriba.isolated import Request
from escriba.isolation import IsolatedReader
from escriba.policy import Limits, Ocr, Policy
from tests.documents import DEVOUR, EXAMPLES, HANG, install_obedient, orders_pdf, text_pdf

POLICY = Policy(ocr=Ocr(engine="obedient"), limits=Limits(page_seconds=3))


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[IsolatedReader]:
    install_obedient(tmp_path)
    made = IsolatedReader(memory_mb=2000, extra_engines={"obedient": "obedient_engine:Obedient"})
    yield made
    made.close()
    sys.path.remove(str(tmp_path))


def started(reader: IsolatedReader) -> psutil.Process:
    """The child, up and waiting."""
    reader.inspect(EXAMPLES / "report.pdf", POLICY, 1, 1)
    return psutil.Process(reader.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems set no limit on a process's memory")
def test_the_child_may_not_have_more_memory_than_it_is_given(reader: IsolatedReader) -> None:
    """Its address space is bounded by the system itself, whatever the machine has."""
    assert started(reader).rlimit(psutil.RLIMIT_AS) == (2000 << 20, 2000 << 20)


def test_a_child_that_ran_out_of_memory_reads_no_other_page(reader: IsolatedReader, tmp_path: Path) -> None:
    """Who knows what it could not finish: the next page gets a fresh one."""
    path = tmp_path / "orders.pdf"
    path.write_bytes(orders_pdf([DEVOUR]))
    child = started(reader)
    with pytest.raises(EngineOutOfMemory):
        reader.read(path, POLICY, "ocr", 1, 1, 0)
    assert reader.pid == 0
    assert not child.is_running()


def test_ctrl_c_in_a_terminal_does_not_reach_the_child(reader: IsolatedReader) -> None:
    """It is in a session of its own, and an interrupt that comes all the same changes nothing."""
    child = started(reader)
    assert os.getsid(child.pid) != os.getsid(0)
    assert os.getpgid(child.pid) != os.getpgid(0)
    child.send_signal(signal.SIGINT)
    assert started(reader).pid == child.pid


def test_a_file_replaced_under_its_name_is_opened_anew(reader: IsolatedReader, tmp_path: Path) -> None:
    """The open document is known by its size and time too."""
    path = tmp_path / "x.pdf"
    for texts in (("one",), ("one", "two")):
        path.write_bytes(text_pdf(*texts))
        assert reader.inspect(path, POLICY, 1, 9).total == len(texts)


def test_the_time_limit_is_one_for_each_page(reader: IsolatedReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pages of 1.1 s each keep to a limit of 3 s a page."""
    monkeypatch.setenv("OBEDIENT_SECONDS", "1.1")
    path = tmp_path / "orders.pdf"
    path.write_bytes(orders_pdf([0, 0, 0]))
    answers = reader.read(path, POLICY, "ocr", 1, 3, 0)
    assert [isinstance(answer, Page) for answer in answers] == [True, True, True]


def test_a_slow_start_is_not_taken_from_the_pages_time(reader: IsolatedReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that needs 4 s to come up reads a page that may take 3."""
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "sitecustomize.py").write_text("import time; time.sleep(4)")
    monkeypatch.setenv("PYTHONPATH", str(slow))
    path = tmp_path / "orders.pdf"
    path.write_bytes(orders_pdf([0]))
    [page] = reader.read(path, POLICY, "ocr", 1, 1, 0)
    assert isinstance(page, Page)


class Timed(IsolatedReader):
    """Remembers what time each request was given, and answers none of those that look at pages."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[int, int, float]] = []

    def _ask(self, request: Request, seconds: float) -> bytes:
        self.given.append((request.first, request.last, seconds))
        if request.first <= request.last:
            raise EngineTimeout("too late")
        return super()._ask(request, seconds)


def test_looking_at_pages_has_its_limits() -> None:
    """At most 20 s for a range and 5 s for a page alone, so that a split ends within its function's time."""
    timed = Timed()
    timed.inspect(EXAMPLES / "mixed.pdf", POLICY, 1, 2)
    timed.close()
    assert timed.given == [(1, 2, 20), (1, 0, 20), (1, 1, 5), (2, 2, 5)]


def test_a_child_that_hangs_is_stopped(reader: IsolatedReader, tmp_path: Path) -> None:
    """It does not go on beside its successor."""
    path = tmp_path / "orders.pdf"
    path.write_bytes(orders_pdf([HANG]))
    child = started(reader)
    with pytest.raises(EngineTimeout):
        reader.read(path, POLICY, "ocr", 1, 1, 0)
    assert not child.is_running()
