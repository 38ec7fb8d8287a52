"""Ollama is found where it is, and where it is not, one sentence says what to do."""

from __future__ import annotations

import pytest

from escriba.engines.ollama import find_ollama, ollama_address
from escriba.errors import ConfigurationError, EngineUnavailable
from tests.engines.fake_ollama import fake_ollama
from tests.engines.fake_server import Fails, Hangs, fake
from tests.engines.servers import free_port


def test_it_lists_what_is_there() -> None:
    """Version, models in order, and the address at which it speaks as OpenAI does."""
    with fake_ollama(["qwen2.5vl:7b", "granite-docling:latest"]) as host:
        found = find_ollama(host)
    assert found.version == "0.13.2"
    assert found.models == ("granite-docling:latest", "qwen2.5vl:7b")
    assert found.base_url == f"http://{host}/v1"


def test_it_does_not_run() -> None:
    """How to start it, or to say where it is."""
    with pytest.raises(EngineUnavailable, match=r"no Ollama answers at http://127\.0\.0\.1:\d+: start it with `ollama serve`"):
        find_ollama(f"127.0.0.1:{free_port()}")


@pytest.mark.parametrize("act", [Fails(302, {"Location": "http://127.0.0.2/"}), Fails(500), Hangs()], ids=str)
def test_something_is_wrong_with_it(act: Fails | Hangs) -> None:
    """A redirect is not followed, and nobody waits for long."""
    with fake(everywhere=act) as server, pytest.raises(EngineUnavailable, match="Ollama"):
        find_ollama(server.address, seconds=0.5)


def test_something_else_answers_there() -> None:
    """A success without sense is not Ollama."""
    with fake_ollama(version="") as host, pytest.raises(EngineUnavailable, match="is not Ollama"):
        find_ollama(host)


def test_a_public_host_is_not_asked() -> None:
    """OLLAMA_HOST obeys the same rule as every endpoint of our own."""
    with pytest.raises(ConfigurationError, match="declare it external"):
        find_ollama("8.8.8.8")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104  (where a server listens)
        (":1234", "http://127.0.0.1:1234"),
        ("gpu", "http://gpu:11434"),
        ("gpu:1234", "http://gpu:1234"),
        ("http://gpu", "http://gpu:80"),
        ("https://gpu", "https://gpu:443"),
        ("https://gpu:1234/", "https://gpu:1234"),
        (" 'gpu:1234' ", "http://gpu:1234"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:1234", "http://[::1]:1234"),
        ("gpu:none", "http://gpu:11434"),
    ],
)
def test_what_ollama_host_means(host: str, address: str) -> None:
    """As Ollama reads it."""
    assert ollama_address(host) == address
