"""What a run says of its results: the files that are there, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from escriba.cli.files import Chosen
from escriba.cli.outcome import Result, deliver_to
from escriba.cli.run import _say
from escriba.ledger import DocumentRow
from escriba.memory.objects import MemoryObjectStore


def document(current: int = 1) -> DocumentRow:
    return DocumentRow(
        document_id="d", job_id="j", tenant="t", policy="", sha256="", name="a.pdf", original_key="", state="DONE", current=current
    )


def delivered(folder: Path, *names: str) -> Result:
    """A document of whose outputs these are in its folder."""
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"")
    return Result(Path(f"{folder.name}.pdf"), "DONE", "", document(), (), folder)


@pytest.mark.parametrize("json", [False, True])
def test_a_pdf_that_could_not_be_made_is_named_and_not_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str], json: bool) -> None:
    """Beside one that has it; standard output stays for programs where these are asked for."""
    whole, without = delivered(tmp_path / "a", "document.md", "document.pdf"), delivered(tmp_path / "b", "document.md")
    _say([whole, without], Chosen([], []), tmp_path, json=json, report=False)
    told = capsys.readouterr()
    assert "No searchable PDF could be made of b.pdf; what was read is in the other files.\n" in (told.err if json else told.out)
    assert ("document.md, .json, .txt, .pdf;" in told.out) is not json
    assert "No searchable" not in (told.out if json else told.err)


def test_where_no_document_has_one_none_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rejected document beside it changes nothing; where all have theirs, nothing is said."""
    rejected = Result(Path("r.pdf"), "REJECTED", "broken", None, (), None)
    _say([delivered(tmp_path / "b", "document.md"), rejected], Chosen([], []), tmp_path, json=False, report=False)
    assert "document.md, .json, .txt; chunks.jsonl" in capsys.readouterr().out
    _say([delivered(tmp_path / "c", "document.pdf"), rejected], Chosen([], []), tmp_path, json=False, report=False)
    told = capsys.readouterr().out
    assert ".txt, .pdf; chunks.jsonl" in told
    assert "No searchable" not in told


def test_an_earlier_readings_pdf_does_not_pass_for_this_ones(tmp_path: Path) -> None:
    """The folder holds what the current revision has."""
    results = MemoryObjectStore()
    first, second = document(1), document(2)
    for each, names in ((first, ("document.md", "document.pdf")), (second, ("document.md",))):
        for name in names:
            results.put(each.output_prefix + name, b"%d" % each.current, content_type="text/plain")
    folder = deliver_to(tmp_path, "a.pdf", first, results, set())
    assert sorted(path.name for path in folder.iterdir()) == ["document.md", "document.pdf"]
    assert deliver_to(tmp_path, "a.pdf", second, results, set()) == folder
    assert [path.name for path in folder.iterdir()] == ["document.md"]
