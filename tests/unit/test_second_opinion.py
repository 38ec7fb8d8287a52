"""The pure parts of `make second-opinion`: it must see every difference, and only differences."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from escriba.cli.outcome import Result
from escriba.ledger import DocumentRow
from escriba.topology import TOPOLOGY
from tests.ministack.deployment import package
from tests.ministack.second_opinion import difference, first_difference, small
from tests.ministack.server import ROOT


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({"document.md": b"one", "usage.json": b"2 s"}, ""),
        ({"document.md": b"onE", "usage.json": b"1 s"}, "document.md from byte 2: b'e', b'E'"),
        ({"document.md": b"one more", "usage.json": b"1 s"}, "document.md from byte 3: b'', b' more'"),
        ({"document.md": b"one", "chunks.jsonl": b"", "usage.json": b"1 s"}, "chunks.jsonl on one side alone"),
        ({"usage.json": b"1 s"}, "document.md on one side alone"),
    ],
)
def test_the_first_difference_is_named(tmp_path: Path, theirs: dict[str, bytes], said: str) -> None:
    """Usage may differ, nothing else."""
    for folder, files in (("here", {"document.md": b"one", "usage.json": b"1 s"}), ("there", theirs)):
        (tmp_path / folder).mkdir()
        for name, content in files.items():
            (tmp_path / folder / name).write_bytes(content)
    assert first_difference(tmp_path / "here", tmp_path / "there") == said


def _result(identity: str = "d", state: str = "REJECTED", reason: str = "no", output: Path | None = None) -> Result:
    document = DocumentRow(document_id=identity, job_id="j", tenant="t", policy="", sha256="", name="", original_key="")
    return Result(Path("a.pdf"), state, reason, document, (), output)


def test_ends_differ_by_identity_state_reason_and_output(tmp_path: Path) -> None:
    """Each of them is looked at before the bytes."""
    assert difference(_result(), _result()) == "same"
    assert difference(_result(), _result("e")) == "ids d and e"
    assert difference(_result(), _result(state="DONE")) == "the ends"
    assert difference(_result(), _result(reason="yes")) == "the ends"
    assert difference(_result(), _result(output=tmp_path)) == "outputs on one side alone"


def test_attempts_are_short_and_still_allowed_by_aws() -> None:
    """A queue must hide its messages at least as long as its function may run."""
    topology = small(TOPOLOGY)
    for function in topology.functions:
        for name in function.consumes:
            assert topology.queue(name).visibility >= function.timeout
    assert {f.name: (f.batch_size, f.max_concurrency) for f in topology.functions} == {
        f.name: (f.batch_size, f.max_concurrency) for f in TOPOLOGY.functions
    }


def test_a_package_holds_files_by_their_place_in_the_checkout() -> None:
    """The handler is found where the function looks for it."""
    code = package([ROOT / "lambdas" / "quarantine.py"])
    assert zipfile.ZipFile(io.BytesIO(code)).namelist() == ["lambdas/quarantine.py"]
