"""What holds for every test: no network, repeatable chance, and the development documents only where they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent
DATA = HERE.parent.parent / "shared" / "data"
ORDERS = "COVERAGE_PROCESS_CONFIG"
"""The variable in which coverage tells child processes to measure themselves."""

# A shared machine is slow now and then: no deadline for one example; the same examples in every run, so that red stays red.
settings.register_profile("escriba", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("escriba")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Unit tests may open no socket at all (the others reach this machine only: see addopts); `data` tests need their documents."""
    for item in items:
        if item.path.is_relative_to(HERE / "unit"):
            item.add_marker(pytest.mark.disable_socket)
        if item.get_closest_marker("data") and not DATA.is_dir():
            item.add_marker(pytest.mark.skip(reason="the development documents are not beside the checkout"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Children of a test that is not measured are not measured either."""
    orders = os.environ.pop(ORDERS, None) if item.get_closest_marker("no_cover") else None
    try:
        return (yield)
    finally:
        if orders is not None:
            os.environ[ORDERS] = orders


@pytest.fixture(scope="session", autouse=True)
def _descriptions_of_aws_read_once() -> Iterator[None]:
    """Each test that has an AWS of its own makes new clients; their descriptions are the same files, which take longer to read than most tests to run."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("load_data", "load_service_model", "list_available_services"):
            patch.setattr(Loader, name, _once(getattr(Loader, name)))
        yield


def _once(read: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[tuple[Any, ...], Any] = {}

    def found(loader: Any, *arguments: Any, **named: Any) -> Any:
        key = (type(loader), *arguments, *named.items())  # moto has a kind of its own, which changes what it has read
        if key not in known:
            known[key] = read(loader, *arguments, **named)
        return known[key]

    return found


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run as on a machine that has never heard of AWS, whoever runs them."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
