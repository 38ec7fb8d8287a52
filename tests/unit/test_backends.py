"""Which vision model a page may be sent to: privacy, latency, cost and operations, each by its table; and the file that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from escriba.backends import Backend, choose, load_backends
from escriba.errors import ConfigurationError
from escriba.policy import Policy, parse_policy
from escriba.settings import Settings


def backend(name: str, **changes: Any) -> Backend:
    return Backend(**{"name": name, "base_url": "http://10.0.0.1/v1", "model": name, "external": False, **changes})


def names(backends: list[Backend], policy: str = "") -> list[str]:
    return [chosen.name for chosen in choose(backends, parse_policy(policy) if policy else Policy())]


OWN, OUTSIDE = backend("own"), backend("outside", external=True)


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ("", ["own"]),
        ("[vision]\nexternal = false", ["own"]),
        ("[vision]\nexternal = true", ["own", "outside"]),
        ("mask_pii = true", ["own"]),
        ("[vision]\nenabled = false", []),
        ('[vision]\nmodels = ["outside"]', []),
    ],
)
def test_privacy(policy: str, chosen: list[str]) -> None:
    """No page goes outside the account unless its policy says so, not even when that leaves nobody to ask."""
    assert names([OUTSIDE, OWN], policy) == chosen


def test_privacy_holds_for_a_policy_that_could_not_be_written() -> None:
    """mask_pii with external is refused when it is read; made otherwise, it still lets nothing out."""
    forced = Policy().model_copy(update={"mask_pii": True, "vision": Policy().vision.model_copy(update={"external": True})})
    assert [chosen.name for chosen in choose([OUTSIDE, OWN], forced)] == ["own"]
    with pytest.raises(ConfigurationError, match="exclude each other"):
        parse_policy("mask_pii = true\n[vision]\nexternal = true")


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ("", ["warm"]),
        ('[vision]\nurgency = "batch"', ["asleep", "warm"]),
        ("[vision]\ndeadline_seconds = 400", ["asleep", "warm"]),
        ("[vision]\ndeadline_seconds = 5", []),
        ('[vision]\nurgency = "batch"\nbatch_deadline_seconds = 60', ["warm"]),
    ],
)
def test_latency(policy: str, chosen: list[str]) -> None:
    """Interactive pages do not wait for a model that has yet to start; batch pages may."""
    assert names([backend("warm"), backend("asleep", start_seconds=300)], policy) == chosen


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ("", ["free", "cheap", "dear"]),
        ("[vision]\nmax_usd_per_page = 0.002", ["free", "cheap"]),
        ("[vision]\nmax_usd_per_page = 0", ["free"]),
    ],
)
def test_cost(policy: str, chosen: list[str]) -> None:
    """Cheap ones first, none above the policy's price."""
    assert names([backend("dear", usd_per_page=0.01), backend("free"), backend("cheap", usd_per_page=0.001)], policy) == chosen


@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({}, ["a", "b"]),
        ({"paused": True}, ["b"]),
        ({"seconds_per_page": 30.0}, ["b", "a"]),
        ({"external": True}, ["b", "a"]),
    ],
)
def test_operations(changes: dict[str, Any], chosen: list[str]) -> None:
    """Nobody asks one that is paused; at one price our own comes first, then the quicker."""
    assert names([backend("a", **changes), backend("b")], "[vision]\nexternal = true") == chosen


def test_the_policys_order_comes_before_all_others() -> None:
    """Small first, larger on refusal: as its owner wrote it, whatever they cost."""
    offered = [backend("large"), backend("small", usd_per_page=0.01), backend("other")]
    assert names(offered, '[vision]\nmodels = ["small", "large"]') == ["small", "large"]


def test_a_file_of_backends(tmp_path: Path) -> None:
    """It is read as written, and travels through the environment unchanged."""
    path = tmp_path / "backends.toml"
    path.write_text('[[backend]]\nname = "gpu"\nbase_url = "http://10.0.0.1/v1"\nmodel = "m"\nexternal = false\n')
    [read] = load_backends(path)
    assert read == backend("gpu", model="m")
    values = dict.fromkeys(("inbox_bucket", "results_bucket", "ledger_table", "idempotency_table", "event_bus"), "x")
    settings = Settings.model_validate({**values, "queues": {}, "backends": [read]})
    assert Settings.from_env(settings.to_env()) == settings


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[backend]]\nname = 1", "backend.0.name"),
        ("backend = [", "not valid TOML"),
        ('[[backend]]\nname="a"\nbase_url="x"\nmodel="m"\nkey="secret"', "there is no such setting"),
        ('[[backend]]\nname="a"\nbase_url="x"\nmodel="m"\n[[backend]]\nname="a"\nbase_url="y"\nmodel="m"', "two backends of one name"),
    ],
)
def test_a_wrong_file_is_told_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    """The file, and what is wrong in it."""
    path = tmp_path / "backends.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        load_backends(path)
    with pytest.raises(ConfigurationError, match="No such file"):
        load_backends(tmp_path / "missing.toml")
