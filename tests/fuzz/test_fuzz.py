"""Damaged files end as `escriba/errors.py` says and no other way, and the fuzzer that says so would notice if they did not."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from escriba.errors import Corrupt, EngineUnavailable
from escriba.isolation import IsolatedReader
from escriba.policy import Policy
from escriba.ports import Inspection
from tests.documents import ROOT
from tests.faults.harness import ObedientReader, made_up
from tests.fuzz.campaign import SECRET, Report, Trial, campaign, complaint, made
from tests.fuzz.mutations import ALL, LARGEST
from tests.fuzz.seeds import seeds

SEED = 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_minute_of_damaged_files_finds_no_fault(tmp_path: Path) -> None:
    """`make fuzz` for a minute, always with the same seed: `make fuzz SECONDS=1200` goes further, with another one."""
    report = campaign(SEED, 60, tmp_path)
    print(report)
    assert not report.faults, str(report)
    assert report.cases > 50, "too slow to find anything"


@pytest.fixture
def reader() -> Iterator[IsolatedReader]:
    made_ = IsolatedReader(extra_engines={"glance": "tests.fuzz.campaign:Glance"})
    yield made_
    made_.close()


def test_undamaged_every_seed_is_read_to_the_end(reader: IsolatedReader, tmp_path: Path) -> None:
    """A seed that is refused as it stands would test one refusal for ever."""
    for name, data in seeds().items():
        report = Report(SEED)
        assert Trial(reader, tmp_path, report).judge(data) == []
        assert report.ends["document: DONE"] == 1, (name, report.ends)


def test_a_seed_and_a_case_always_give_the_same_file() -> None:
    """Also in another process, whose hashes of strings differ."""
    show = "from tests.fuzz.campaign import made; import hashlib; print([(n, hashlib.md5(d).hexdigest()) for n, d in map(%s, range(60))])"
    code = show % "lambda case: made(7, case)"
    runs = {subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert len(runs) == 1
    assert made(7, 1) != made(8, 1)


@pytest.mark.parametrize("mutation", ALL, ids=lambda mutation: mutation.__name__)
def test_each_mutation_changes_files_of_every_kind(mutation: Callable[..., bytes]) -> None:
    """It takes any bytes, the shortest included, and changes the most of what it is given."""
    changed = 0
    for name, data in seeds().items():
        for piece in (data, data[:1], data[:9]):
            assert len(mutation(piece, random.Random(name), seeds())) <= len(piece) * 50 + 3 * LARGEST
        changed += mutation(data, random.Random(name), seeds()) != data
    assert changed > len(seeds()) / 3


class Astray(ObedientReader):
    """A reader that always answers an inspection in the way it was told."""

    def __init__(self, raised: Exception) -> None:
        super().__init__()
        self.raised = raised

    def inspect(self, path: Path, policy: Policy, first: int, last: int) -> Inspection:
        raise self.raised


@pytest.mark.parametrize(
    ("raised", "fault"),
    [
        (KeyError("Kids"), "raised KeyError"),
        (EngineUnavailable("the reader failed inside (KeyError)"), "shows what is inside"),
        (Corrupt("cannot open /tmp/escriba-1/file"), "shows what is inside"),
        (Corrupt(f"the page says {SECRET}"), "quotes the document"),
        (Corrupt("two\nlines"), "not one line"),
        (Corrupt(""), "empty"),
    ],
)
def test_each_kind_of_fault_is_seen(raised: Exception, fault: str, tmp_path: Path) -> None:
    """An exception that is not ours, and a sentence of ours that a user must not get."""
    assert any(fault in found for found in Trial(Astray(raised), tmp_path, Report(SEED)).judge(made_up("t")))


def test_a_document_that_does_not_end_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its messages lost on the way, it would wait for ever."""
    monkeypatch.setattr("tests.fuzz.campaign.run", lambda pipeline: None)
    assert any("did not end" in found for found in Trial(ObedientReader(), tmp_path, Report(SEED)).judge(made_up("t")))


def test_a_call_beyond_its_limit_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However well it answers in the end."""
    monkeypatch.setattr("tests.fuzz.campaign._CALL_SECONDS", -1.0)
    assert any("took" in found for found in Trial(ObedientReader(), tmp_path, Report(SEED)).judge(made_up("t")))


def test_a_file_that_finds_a_fault_is_kept_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes, under the name in the message."""
    monkeypatch.setattr(Trial, "judge", lambda self, data: ["is wrong"])
    [fault] = campaign(SEED, 60, tmp_path / "kept", first=5, cases=1).faults
    file = tmp_path / "kept" / "seed-1-case-5"
    assert str(file) in fault
    assert file.read_bytes() == made(SEED, 5)[1]


@pytest.mark.parametrize("sentence", ["the PDF has no pages", "the picture has 4,000 pixels, more than the policy's limits.max_pixels = 5"])
def test_good_sentences_are_good(sentence: str) -> None:
    """What users get today."""
    assert complaint(sentence) == ""
