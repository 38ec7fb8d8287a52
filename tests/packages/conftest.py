"""A bare Python, an AWS behind a port, and each function's code installed once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
