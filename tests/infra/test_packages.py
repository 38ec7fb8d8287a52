"""What is deployed as code: each package holds what its functions need, pinned, and gets there without Docker where it can."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cdk import packages
from cdk.app import build
from escriba.topology import TOPOLOGY
from tests.documents import EXAMPLES, ROOT

LOCKS = {path.stem: path for path in sorted((ROOT / "lambdas" / "requirements").glob("*.txt"))}
ONLY_THERE = {"awslambdaric", "simplejson", "snapshot-restore-py"}
"""Lambda's runtime client and what it needs: nothing of it runs on a developer's machine."""


def pins(lock: Path) -> set[Requirement]:
    """A package may be there twice, for different Pythons."""
    text = lock.read_text().replace("\\\n", " ")
    return {Requirement(line.split("--hash")[0]) for line in text.splitlines()}


def test_every_package_has_its_lock() -> None:
    """One for the image, one for each function that goes as a zip; made from the .in beside it."""
    zipped = {function.name for function in TOPOLOGY.all_functions()} - packages.IMAGED
    assert LOCKS.keys() == {"ocr", *zipped}
    assert all(lock.with_suffix(".in").is_file() for lock in LOCKS.values())


@pytest.mark.parametrize("lock", LOCKS.values(), ids=LOCKS.keys())
def test_the_locks_agree_with_the_one_that_is_tested(lock: Path) -> None:
    """The same versions as on the laptop, with hashes, without addresses; moto and the command line stay at home."""
    ours, runtime = pins(lock), {(pin.name, str(pin.specifier)) for pin in pins(ROOT / "requirements" / "runtime.txt")}
    assert {pin.name for pin in ours if (pin.name, str(pin.specifier)) not in runtime} <= ONLY_THERE
    assert len(ours) == len({pin.name for pin in ours})  # one version each: pip chooses by its own Python, not by Lambda's
    assert "://" not in lock.read_text()
    assert all("--hash=sha256:" in line for line in lock.read_text().replace("\\\n", "").splitlines())
    assert {pin.name for pin in ours}.isdisjoint({"moto", "rich", "typer", "opencv-python"})


@pytest.fixture
def task_root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder like /var/task: what one lock names, linked from this environment, and our own packages."""
    absent = set()
    for pin in pins(LOCKS[request.param]):
        if pin.marker is not None and not pin.marker.evaluate():
            continue
        try:
            distribution = importlib.metadata.distribution(pin.name)
        except importlib.metadata.PackageNotFoundError:
            absent.add(pin.name)
            continue
        for top in {Path(file).parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (tmp_path / top).exists():
                (tmp_path / top).symlink_to(Path(str(distribution.locate_file(top))))
    assert absent <= ONLY_THERE
    for name in ("escriba", "lambdas"):
        (tmp_path / name).symlink_to(ROOT / name)
    if request.param == "ocr":  # the image installs our package: its entry points name the engines
        [info] = Path(str(importlib.metadata.distribution("escriba").locate_file(""))).glob("escriba-*.dist-info")
        (tmp_path / info.name).symlink_to(info)
    return tmp_path


def run_there(task_root: Path, code: str) -> str:
    """Python as in Lambda: nothing importable but the standard library and the task's folder, which is the current one."""
    script = f"import sys; sys.path.append({str(task_root)!r})\n{code}"
    python = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    done = subprocess.run([python, "-I", "-S", "-c", script], cwd=task_root, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("task_root", ["quarantine"], indirect=True)
def test_quarantine_has_what_it_needs(task_root: Path) -> None:
    """It opens no document: its handler can be imported, and nothing that reads documents is there."""
    run_there(task_root, "import lambdas.quarantine\nassert lambdas.quarantine.handler")
    assert not any((task_root / name).exists() for name in ("numpy", "pymupdf", "PIL", "cv2"))


WRITE_PDF = """
import lambdas.assemble_document
from pathlib import Path
from escriba.isolation import IsolatedReader
from escriba.policy import Policy
import escriba.formats.outputs, escriba.layout.structure
Path("pages.jsonl").write_text("")
reader = IsolatedReader(memory_mb=1792)
for file, total in (("mixed.pdf", 3), ("recibo.jpg", 1)):
    reader.write_pdf(Path({examples!r}, file), Policy(), Path("pages.jsonl"), Path(file + ".pdf"), total)
    assert Path(file + ".pdf").read_bytes().startswith(b"%PDF")
reader.close()
"""


@pytest.mark.parametrize("task_root", ["assemble_document"], indirect=True)
def test_assemble_has_what_it_needs(task_root: Path) -> None:
    """Its reader process writes the searchable PDF of a PDF and of a picture in the memory that it is given; no engine is there."""
    run_there(task_root, WRITE_PDF.format(examples=str(EXAMPLES)))
    assert not any((task_root / name).exists() for name in ("rapidocr", "onnxruntime", "tesserocr", "cv2"))


READ = """
import lambdas.split_document, lambdas.recognise_pages, lambdas.read_with_api
from escriba import models
from escriba.engines.vision import VisionClient
from pathlib import Path
from escriba.isolation import IsolatedReader
from escriba.policy import Policy
policy, picture = Policy(languages=("eng",)), Path({examples!r}, "recibo.jpg")
split = IsolatedReader(memory_mb=1792)
print(sorted(split.engine_versions(policy)), split.inspect(picture, policy, 1, 1).total)
split.close()
recognise = IsolatedReader(memory_mb=2752)
[page] = recognise.read(picture, policy, "ocr", 1, 1, 0)
print(page.engine, sum(len(line.words) for block in page.blocks for line in block.lines))
print(recognise.render(picture, policy, 1, 500).image[:4] == b"\\x89PNG", models.parse("markdown", "# Title", (1, 1)).pieces[0].kind)
VisionClient("http://127.0.0.1:9/v1").close()
recognise.close()
"""


@pytest.mark.parametrize("task_root", ["ocr"], indirect=True)
def test_the_image_has_what_it_needs(task_root: Path) -> None:
    """Split sees the engines' versions, recognise reads a photographed page in the memory that it is given, and a model can be asked about it."""
    versions, reading, drawing = run_there(task_root, READ.format(examples=str(EXAMPLES))).splitlines()
    assert "rapidocr" in versions
    assert versions.endswith("1")
    assert int(reading.split()[1]) > 10
    assert drawing == "True heading"


def test_the_dockerfile_agrees() -> None:
    """The Python of the zips, language data for the default policy, not as root, a handler that exists; what it copies is let in."""
    text = (ROOT / "lambdas" / "Dockerfile").read_text()
    [python] = re.findall(r"^ARG PYTHON=python:(\d+\.\d+)\.\d+-", text, re.MULTILINE)
    assert python == packages.PYTHON
    assert {f"tesseract-ocr-{language}" for language in ("por", "eng", "osd")} <= set(text.split())
    assert re.search(r"^USER (?!root|0)", text, re.MULTILINE)
    allowed = re.findall(r"^!([\w.]+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = [name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for name in line.split()]
    assert copied
    assert all((ROOT / name).exists() and name.split("/")[0] in allowed for name in copied)


def test_each_zip_is_packed_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With packing on, as when it is deployed: an archive a function, each with its own content, and one image for two functions."""

    def pack(function: str, architecture: str, out: Path) -> int:
        (out / "what.txt").write_text(f"{function} {architecture}")
        return 0

    monkeypatch.setattr(packages, "bundle", pack)
    build({"architecture": "arm64"}, str(tmp_path)).synth()
    assert {path.read_text() for path in tmp_path.glob("asset.*/what.txt")} == {
        f"{name} arm64" for name in ("assemble_document", "canary", "quarantine", "reconcile")
    }
    assets = json.loads((tmp_path / "Core.assets.json").read_text())
    [image] = assets["dockerImages"].values()
    assert (image["source"]["dockerFile"], image["source"]["platform"]) == ("lambdas/Dockerfile", "linux/arm64")
    inside = {path.relative_to(tmp_path / image["source"]["directory"]).parts[0] for path in tmp_path.glob("asset.*/**/*.py")} - {".."}
    assert inside == {"escriba", "lambdas"}


def wheel(folder: Path, tag: str) -> str:
    """A tiny wheel of one module that says its tag; returns its hash."""
    path = folder / f"tiny-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("tiny.py", f"tag = {tag!r}\n")
        file.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\nRequires-Python: ==3.13.*\n")
        file.writestr("tiny-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: {tag}\n")
        file.writestr("tiny-1.0.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose function needs `tiny`, which is there for two processors and for another Python."""
    tags = ("cp313-cp313-manylinux_2_28_x86_64", "cp313-cp313-manylinux_2_28_aarch64", "cp311-cp311-manylinux_2_17_x86_64")
    hashes = [wheel(tmp_path, tag) for tag in tags]
    for name in ("escriba", "lambdas/requirements"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "lambdas" / "quarantine.py").write_text("")
    lines = ["tiny==1.0", *(f"--hash=sha256:{digest}" for digest in hashes)]
    (tmp_path / "lambdas" / "requirements" / "quarantine.txt").write_text(" \\\n    ".join(lines) + "\n")
    monkeypatch.setattr(packages, "ROOT", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("architecture", "machine"), [("x86_64", "x86_64"), ("arm64", "aarch64")])
def test_pip_packs_for_lambda_and_not_for_this_machine(checkout: Path, architecture: str, machine: str) -> None:
    """The wheel of Lambda's Python and processor, whatever runs here; our own packages beside it."""
    size = packages.bundle("quarantine", architecture, checkout / "out")
    assert f"cp313-cp313-manylinux_2_28_{machine}" in (checkout / "out" / "tiny.py").read_text()
    assert {"escriba", "lambdas", "tiny.py"} <= {path.name for path in (checkout / "out").iterdir()}
    assert not (checkout / "out" / "lambdas" / "requirements").exists()
    assert 0 < size < 10_000


def test_what_is_not_in_the_lock_or_too_large_is_not_packed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file under the same name ends the packing; so does more than AWS takes, with what to do."""
    monkeypatch.setattr(packages, "UNPACKED_LIMIT", 10)
    with pytest.raises(ValueError, match="make it one of the image's functions"):
        packages.bundle("quarantine", "x86_64", checkout / "large")
    with zipfile.ZipFile(checkout / "tiny-1.0-cp313-cp313-manylinux_2_28_x86_64.whl", "a") as file:
        file.writestr("evil.py", "")
    with pytest.raises(subprocess.CalledProcessError):
        packages.bundle("quarantine", "x86_64", checkout / "other")
