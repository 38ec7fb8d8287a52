"""The shape of the house: who may import whom, how long a file may be, who may know of AWS and the environment."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.documents import ROOT

PACKAGES = ("escriba", "lambdas", "cdk")
SOURCES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
TRACKED = sorted(p for d in (*PACKAGES, "tests", "bench", "examples") for p in (ROOT / d).rglob("*.py"))


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
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_imports_are_in_order(copy: Path) -> None:
    """As it stands, every contract is kept."""
    done = lint(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("escriba/triage.py", "import boto3", "AWS only at the edges"),
        ("escriba/formats/temporary.py", "import botocore.exceptions", "AWS only at the edges"),
        ("escriba/temporary.py", "from aws_lambda_powertools import Logger", "AWS only at the edges"),
        ("escriba/stages/temporary.py", "from escriba.aws import objects", "Stages know ports, never what stands behind them"),
        ("escriba/stages/recognise.py", "from escriba.memory.queue import MemoryQueue", "Who may import whom"),
        ("escriba/document.py", "import escriba.policy", "Who may import whom"),
        ("escriba/memory/temporary.py", "from escriba.aws import queue", "Who may import whom"),
        ("lambdas/quarantine.py", "import moto", "moto only in the local run"),
        ("escriba/layout/lists.py", "import pymupdf", "open documents"),
        ("cdk/queues.py", "from lambdas import entry", "The stacks know topology, settings and policies only"),
        ("cdk/temporary.py", "import escriba.identity", "The stacks know topology, settings and policies only"),
        ("escriba/local/temporary.py", "import cdk.deployment", "Who may import whom"),
    ],
)
def test_an_import_out_of_order_turns_the_check_red(copy: Path, file: str, line: str, contract: str) -> None:
    """AWS stays at the edges, stages know no adapter, nothing looks up; the broken contract is named, in new modules too."""
    path = copy / file
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    done = lint(copy)
    assert done.returncode == 1, done.stdout
    assert re.search(rf"{re.escape(contract)} BROKEN", done.stdout), done.stdout


def test_every_module_has_its_layer() -> None:
    """A new module of escriba/ is given its place among the layers in pyproject.toml before it is used."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    placed = {name.strip(" ()") for contract in contracts for layer in contract.get("layers", ()) for name in layer.split("|")}
    modules = {f"escriba.{path.stem}" for path in (ROOT / "escriba").glob("*.py") if path.stem != "__init__"}
    packages = {f"escriba.{path.parent.name}" for path in (ROOT / "escriba").glob("*/__init__.py")}
    assert modules | packages <= placed


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
    """os.environ appears where a process begins: handlers, the embedded AWS, the child's parent; and where Tesseract's data and AWS's region are told."""
    allowed = {
        "escriba/engines/tesseract.py",
        "escriba/aws/clients.py",
        "lambdas/entry.py",
        "lambdas/split_document.py",
        "escriba/local/embedded_aws.py",
        "escriba/local/pipeline.py",
        "escriba/isolation.py",
        "cdk/__init__.py",
        "cdk/app.py",
    }
    found = {str(p.relative_to(ROOT)) for p in SOURCES if "os.environ" in p.read_text()}
    assert found <= allowed


def test_only_the_edges_import_aws() -> None:
    """AWS's libraries appear in the adapters, the handlers and the embedded AWS, wherever in the file they are imported."""
    knowing = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] in {"boto3", "botocore", "aws_lambda_powertools"} for name in names):
                knowing.add(path.relative_to(ROOT).as_posix())
    assert "escriba/aws/clients.py" in knowing
    assert [name for name in sorted(knowing) if not re.match(r"escriba/(aws|local)/|lambdas/", name)] == []


def test_nothing_is_made_at_import_time() -> None:
    """Importing every handler makes no client and loads no model."""
    code = (
        "import sys, boto3; boto3.session.Session.client = None\n"
        "import lambdas.split_document, lambdas.recognise_pages, lambdas.assemble_document, lambdas.quarantine, escriba.cli\n"
        "assert not {'rapidocr', 'onnxruntime', 'cv2'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
