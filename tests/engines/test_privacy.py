"""Nothing goes anywhere but to the configured endpoint: sockets are watched through every failure, redirect, proxy and misconfiguration."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
from pytest_socket import SocketConnectBlockedError

from escriba.engines.own_host import is_nowhere, is_own_address, is_own_host
from escriba.engines.vision import VisionClient
from escriba.errors import ConfigurationError, EngineUnavailable, EscribaError
from tests.engines.fake_server import Act, Fails, FailsWithin, Hangs, Nonsense, Says, fake
from tests.engines.pictures import question
from tests.engines.servers import free_port
from tests.engines.watching import Watched, watch

OTHER = "127.0.0.2"  # plays the other host: also on this machine, but not where it was configured


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return watch(monkeypatch)


@pytest.fixture
def lured(monkeypatch: pytest.MonkeyPatch) -> str:
    """An environment full of other places to go; returns the one that all of them name."""
    port = free_port()
    other = f"http://{OTHER}:{port}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, other)
        monkeypatch.setenv(name.lower(), other)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{other}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin-from-the-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-from-the-environment")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-from-the-environment")
    monkeypatch.setenv(
        "OPENAI_CUSTOM_HEADERS", "X-Leak: from-the-environment\nAuthorization: Bearer from-the-environment\nHost: elsewhere.example"
    )
    return other


def attempt(client: VisionClient, seconds: float = 5.0) -> EscribaError | None:
    """Everything a client does, whatever comes of it; the error of its question."""
    told = None
    try:
        client.ask(question(), seconds)
    except EscribaError as error:
        told = error
    client.count_tokens("Total")
    try:
        client.served()
    except EscribaError:
        return told
    return told


FAULTS: list[Act] = [
    Says(),
    Fails(500),
    Fails(503, {"Retry-After": "0"}),
    Fails(429, {"Retry-After": "0"}),
    Fails(401),
    Fails(400),
    Fails(404),
    FailsWithin(),
    Says(breaks_off=True),
    Hangs(),
    Nonsense(b"data: {no json\n\n"),
]


def test_the_watch_sees(watched: Watched) -> None:
    """A connection elsewhere would be noticed: sockets of threads and of event loops, and names."""
    with fake() as server:
        socket.create_connection(server.place).close()

        async def connect() -> None:
            _, writer = await asyncio.open_connection("localhost", server.place[1])
            writer.close()

        thread = threading.Thread(target=lambda: asyncio.run(connect()))
        thread.start()
        thread.join()
        assert watched.places >= {server.place}
        assert "localhost" in watched.names
        with pytest.raises(SocketConnectBlockedError), pytest.warns(UserWarning, match=OTHER):
            socket.create_connection((OTHER, free_port()), 1)
        assert OTHER in {host for host, _ in watched.places}


@pytest.mark.parametrize("act", FAULTS, ids=str)
@pytest.mark.usefixtures("lured")
def test_every_fault_stays_at_home(watched: Watched, act: Act) -> None:
    """Retries, refusals, broken streams and hangs, amid proxies and settings of the environment: one place is ever contacted, and no name looked up."""
    with fake(act) as server, VisionClient(server.base_url, key="ours", tries=3) as client:
        attempt(client, 2.0)
        assert watched.places == {server.place}
        assert watched.names <= {"127.0.0.1"}
        assert {headers.get("authorization") for _, headers, _ in server.seen} == {"Bearer ours"}
        assert {headers.get("host") for _, headers, _ in server.seen} == {f"127.0.0.1:{server.place[1]}"}
        assert "environment" not in str([headers for _, headers, _ in server.seen])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.usefixtures("lured")
def test_a_redirect_is_an_error(watched: Watched, status: int) -> None:
    """To wherever it leads: the page does not follow, nor does the question after what is served."""
    with fake(host=OTHER) as elsewhere:
        sends_away = Fails(status, {"Location": f"{elsewhere.base_url}/chat/completions"})
        with fake(everywhere=sends_away) as server, VisionClient(server.base_url) as client:
            told = attempt(client)
            assert isinstance(told, EngineUnavailable)
            assert "redirect" in str(told)
            assert watched.places == {server.place}
        assert elsewhere.seen == []


def test_nobody_there_leads_nowhere_else(watched: Watched, lured: str) -> None:
    """A dead endpoint has no stand-in."""
    port = free_port()
    with VisionClient(f"http://127.0.0.1:{port}/v1", tries=3) as client:
        assert isinstance(attempt(client), EngineUnavailable)
    assert watched.places == {("127.0.0.1", port)}


@pytest.mark.usefixtures("lured")
def test_a_wrong_path_leads_nowhere_else(watched: Watched) -> None:
    """An address without /v1 is answered with a sentence."""
    with fake() as server, VisionClient(server.address) as client:
        assert "usually ends in /v1" in str(attempt(client))
        assert watched.places == {server.place}


@pytest.mark.usefixtures("lured")
@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "none is taken from the environment"),
        ("  ", "none is taken from the environment"),
        ("127.0.0.1:8000/v1", "begin with http"),
        ("ftp://127.0.0.1/v1", "begin with http"),
        ("http:///v1", "name a host"),
        ("http://[::1", "not a URL .it cannot be read as one"),
        ("http://127.0.0.1:notaport/v1", "not a URL .its port is no number"),
        ("http://127.0.0.1:99999/v1", "not a URL .its port must be 1 to 65535"),
        ("http://key@127.0.0.1:8000/v1", "neither a key nor a query"),
        ("http://127.0.0.1@evil.example/v1", "neither a key nor a query"),
        ("http://127.0.0.1:8000/v1?key=secret", "neither a key nor a query"),
        ("https://8.8.8.8/v1", "declare it external"),
        ("https://api.openai.com/v1", "declare it external"),
        ("http://mixed.example/v1", "list it among the trusted hosts"),
        ("http://[2606:4700::1111]/v1", "declare it external"),
        ("http://[::ffff:8.8.8.8]/v1", "declare it external"),
    ],
)
def test_an_address_that_must_not_be_used_is_refused_before_anything_is_sent(watched: Watched, url: str, sentence: str) -> None:
    """With one sentence that has the way out; nothing is contacted."""
    with pytest.raises(ConfigurationError, match=sentence) as refused:
        VisionClient(url, resolver=_names)
    assert "secret" not in str(refused.value)
    assert watched.places == set()


def _names(host: str, port: int) -> list[str]:
    known = {
        "api.openai.com": ["162.159.140.245"],
        "gpu.example": ["10.0.3.7", "fd00::7"],
        "mixed.example": ["10.0.3.7", "93.184.216.34"],
        "localhost": ["127.0.0.1", "::1"],
        "2130706433": ["127.0.0.1"],
    }
    if host not in known:
        raise OSError("no such name")
    return known[host]


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:11434/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://10.1.2.3/v1", True),
        ("http://172.31.255.1/v1", True),
        ("http://172.32.0.1/v1", False),
        ("http://192.168.1.4/v1", True),
        ("http://169.254.170.2/v1", True),
        ("http://[fe80::1]/v1", True),
        ("http://[fd12::1]/v1", True),
        ("http://[::ffff:10.0.0.1]/v1", True),
        ("http://100.64.0.1/v1", False),
        ("http://0.0.0.0/v1", False),
        ("http://8.8.8.8/v1", False),
        ("http://vision.escriba.internal/v1", True),
        ("http://VISION.INTERNAL./v1", True),
        ("http://mac.local:1234/v1", True),
        ("http://internal/v1", False),
        ("http://evilinternal.example/v1", False),
        ("http://localhost:8000/v1", True),
        ("http://2130706433/v1", True),
        ("http://gpu.example/v1", True),
        ("http://mixed.example/v1", False),
        ("https://api.openai.com/v1", False),
        ("http://nobody.example/v1", False),
        ("http://[broken/v1", False),
        ("", False),
    ],
)
def test_what_counts_as_own(url: str, own: bool) -> None:
    """Loopback, private and link-local addresses; names that are private by rule, or that resolve to such addresses alone."""
    assert is_own_host(url, _names) is own


def test_a_name_that_nobody_knows_is_told_from_one_outside() -> None:
    """Only names can be unknown; what can be nobody's name is unknown too, and no crash."""
    assert is_nowhere("http://nobody.example/v1", _names)
    assert not is_nowhere("https://api.openai.com/v1", _names)
    assert not is_nowhere("https://8.8.8.8/v1", _names)
    assert is_nowhere("http://a..b/v1")


def test_no_name_is_an_address() -> None:
    """Only numbers are compared with networks."""
    assert not is_own_address("gpu.example")


def test_a_host_that_is_trusted_or_declared_external_is_taken() -> None:
    """The two ways out that the sentence names."""
    VisionClient("https://api.openai.com/v1", own=False, resolver=_names).close()
    VisionClient("https://api.openai.com/v1", trusted_hosts=["api.openai.com"], resolver=_names).close()


def test_the_connection_goes_to_the_address_that_was_checked(watched: Watched) -> None:
    """The name is resolved by us, and nobody resolves it again; the server hears the name it was asked by."""
    with fake() as server:
        port = server.place[1]
        with VisionClient(f"http://gpu.example:{port}/v1", resolver=lambda host, _: ["127.0.0.1"]) as client:
            assert client.ask(question(), 10).finish == "stop"
        assert watched.places == {server.place}
        assert "gpu.example" not in watched.names
        assert {headers["host"] for _, headers, _ in server.seen} == {f"gpu.example:{port}"}


def test_a_name_that_moves_away_is_not_followed(watched: Watched) -> None:
    """DNS said a private address when the client was made and another one later: nothing is sent, and the question is not asked again."""
    answers = [["127.0.0.1"], ["127.0.0.1", "93.184.216.34"]]
    with VisionClient("http://gpu.example/v1", resolver=lambda host, _: answers.pop(0) if len(answers) > 1 else answers[0]) as client:
        told = attempt(client)
    assert "no longer resolves to private addresses" in str(told)
    assert watched.places == set()


def test_a_name_that_is_not_known_yet_is_asked_for_again() -> None:
    """A server that starts later may get its name later; until then it cannot be reached."""
    with (
        VisionClient("http://nobody.example/v1", resolver=_names, tries=2) as client,
        pytest.raises(EngineUnavailable, match="cannot be reached"),
    ):
        client.ask(question(), 10)
