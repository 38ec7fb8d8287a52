"""A bare Python, an AWS behind a port, and each function's code installed once a session."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cdk.deployment import ROOT
from tests.packages import environment
from tests.packages.cloud import Cloud, cloud

Installed = Callable[[str], Path]
Figure = Callable[[str, object], None]
"""pytest's record_property: a name and what was measured, printed at the end."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests have measured."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment in which nothing is installed."""
    return environment.bare_python(tmp_path_factory.mktemp("bare") / "python")


@pytest.fixture(scope="session")
def installed(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The folder with a zip's content, for the Python that runs here."""
    made: dict[str, Path] = {}

    def folder(function: str) -> Path:
        if function not in made:
            made[function] = tmp_path_factory.mktemp(function) / "task"
            environment.install(bare, environment.LOCKS / f"{function}.txt", made[function])
        return made[function]

    return folder


@pytest.fixture
def aws(_no_account: None, tmp_path: Path) -> Iterator[Cloud]:
    with cloud(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def checkout(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is under version control, the images' locks as this interpreter can take them."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    for name in ("lambdas/requirements/ocr.txt", "gpu_service/requirements.txt"):
        lock, _ = environment.lock_for(bare, ROOT / name)
        (copy / name).write_text(lock)
    return copy
