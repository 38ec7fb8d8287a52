"""The locks: every pin with its hashes, no address, one OpenCV, nothing heavy; and what they must agree on."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = [ROOT / "requirements" / "runtime.txt", ROOT / "requirements" / "dev.txt"]
CDK = ROOT / "requirements" / "cdk.txt"
OTHER_LOCKS = [ROOT / "requirements" / "bench.txt", ROOT / "requirements" / "ministack.txt", ROOT / "requirements" / "vllm.txt"]


def _pins(path: Path) -> list[tuple[str, str, int]]:
    """Name, version with marker, and number of hashes of each requirement; an unread line is an error."""
    pins = []
    for entry in path.read_text().replace("\\\n", " ").splitlines():
        name, _, rest = entry.partition("==")
        what, *hashes = rest.split("--hash=sha256:")
        assert re.fullmatch(r"[a-z0-9-]+", name), entry
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest.strip()) for digest in hashes), entry
        pins.append((name, what.strip(), len(hashes)))
    return pins


@pytest.mark.parametrize("lock", [*LOCKS, CDK, *OTHER_LOCKS], ids=lambda path: path.stem)
def test_every_requirement_is_pinned_with_hashes_and_no_address(lock: Path) -> None:
    """Pip may take a file from anywhere, as long as it is this file."""
    assert "://" not in lock.read_text()
    assert " @ " not in lock.read_text()
    pins = _pins(lock)
    assert len(pins) > (30 if lock in LOCKS else 0)
    assert [name for name, _, hashes in pins if not hashes] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_one_opencv_and_nothing_heavy(lock: Path) -> None:
    """The headless wheel alone, and no CUDA, no torch, no CDK."""
    names = {name for name, _, _ in _pins(lock)}
    assert {name for name in names if "opencv" in name} == {"opencv-python-headless"}
    assert {name for name in names if re.match(r"torch|nvidia|cuda|vllm|triton|tensorflow|onnxruntime-gpu|aws-cdk", name)} == set()


def test_the_locks_agree() -> None:
    """Installing the development lock or the CDK's on top changes nothing of what `escriba run` uses, nor one of them the other."""
    runtime, development, stacks = (dict[str, set[str]](), dict[str, set[str]](), dict[str, set[str]]())
    for lock, pins in zip((*LOCKS, CDK), (runtime, development, stacks), strict=True):
        for name, what, _ in _pins(lock):
            # No lock is for Python in a browser, whose markers differ with what else is asked for.
            pins.setdefault(name, set()).add(what.removesuffix(" ; sys_platform != 'emscripten'"))
    assert runtime.items() <= development.items()
    assert runtime.items() <= stacks.items()
    assert {name: what for name, what in stacks.items() if name in development} == {
        name: what for name, what in development.items() if name in stacks
    }


def test_the_locks_cover_the_package() -> None:
    """Whatever pyproject.toml asks for is locked, and PyMuPDF stays where it was measured."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for lock, wanted in zip((*LOCKS, CDK), (project["dependencies"] + extras["eval"], extras["dev"], extras["cdk"]), strict=True):
        names = {name for name, _, _ in _pins(lock)}
        assert {re.sub("[._]", "-", re.split(r"[\[<>=; ]", requirement)[0]) for requirement in wanted} <= names
    assert ("pymupdf", "1.28.2") in {pin[:2] for pin in _pins(LOCKS[0])}
