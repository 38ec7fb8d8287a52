"""The shape of the house: who may import whom, how long a file may be, what is pinned."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT

SOURCES = sorted([*(ROOT / "escriba").rglob("*.py"), *(ROOT / "lambdas").rglob("*.py")])
TRACKED = sorted(p for d in ("escriba", "lambdas", "tests", "bench", "examples") for p in (ROOT / d).rglob("*.py"))


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [command, "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("escriba", "lambdas"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_imports_are_in_order(copy: Path) -> None:
    """As it stands, every contract is kept."""
    done = lint(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("escriba/triage.py", "import boto3"),
        ("escriba/stages/split.py", "from escriba.aws import objects"),
        ("escriba/stages/recognise.py", "from escriba.memory.queue import MemoryQueue"),
        ("escriba/document.py", "import escriba.policy"),
        ("lambdas/quarantine.py", "import moto"),
        ("escriba/layout/lists.py", "import pymupdf"),
    ],
)
def test_an_import_out_of_order_turns_the_check_red(copy: Path, file: str, line: str) -> None:
    """AWS stays at the edges, stages know no adapter, nothing looks up."""
    path = copy / file
    path.write_text(path.read_text() + f"\n{line}\n")
    assert lint(copy).returncode != 0


def test_files_are_short() -> None:
    """At most 300 lines a file in the product; the topology at most 200; tests at most 500."""
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in TRACKED}
    assert {p: n for p, n in lengths.items() if n > (500 if p.parts[0] == "tests" else 300)} == {}
    assert lengths[Path("escriba/topology.py")] <= 200


def test_names_say_what_is_inside() -> None:
    """No utils, helpers, managers."""
    assert [p for p in TRACKED if re.search(r"util|helper|manager|common|misc", p.stem)] == []


def test_every_module_says_why_it_exists() -> None:
    """Each begins with a docstring."""
    assert [p for p in SOURCES if not ast.get_docstring(ast.parse(p.read_text()))] == []


def test_the_environment_is_read_at_the_edges_only() -> None:
    """os.environ appears where a process begins: handlers, the command line, the embedded AWS, the child's parent."""
    allowed = {
        "lambdas/entry.py",
        "lambdas/split_document.py",
        "escriba/local/embedded_aws.py",
        "escriba/local/pipeline.py",
        "escriba/isolation.py",
    }
    found = {str(p.relative_to(ROOT)) for p in SOURCES if "os.environ" in p.read_text()}
    assert found <= allowed


def test_nothing_is_made_at_import_time() -> None:
    """Importing every handler makes no client and loads no model."""
    code = (
        "import sys, boto3; boto3.session.Session.client = None\n"
        "import lambdas.split_document, lambdas.recognise_pages, lambdas.assemble_document, lambdas.quarantine, escriba.cli\n"
        "assert not {'rapidocr', 'onnxruntime', 'cv2'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_the_locks_pin_and_hash_everything_and_name_no_address(name: str) -> None:
    """Every requirement has a version and a hash; no address, no index; one OpenCV, the headless one."""
    text = (ROOT / "requirements" / name).read_text()
    assert "://" not in text
    assert "index-url" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert all(re.match(r"[A-Za-z0-9_.\[\],-]+==\S+", entry) and "--hash=sha256:" in entry for entry in entries)
    assert [e.split("==")[0] for e in entries if e.startswith("opencv")] == ["opencv-python-headless"]
