"""The vision client from its first question to its end: how many go at once, its breaker, what a cancelled question leaves, what it logs, how it closes."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from escriba.engines.vision import VisionClient
from escriba.errors import EngineUnavailable, Throttled
from tests.engines.fake_server import Fails, Hangs, Says, fake
from tests.engines.hurrying import Hurrying
from tests.engines.pictures import question
from tests.engines.servers import free_port


def test_no_more_questions_than_allowed_are_under_way() -> None:
    """With one place, four answers of 0.3 s take 1.2 s; who gets none in time is told so."""
    with fake(Says("a b c", pause=0.1)) as server, VisionClient(server.base_url, concurrency=1) as client:
        client.served()
        begun = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            assert {answer.text for answer in pool.map(lambda _: client.ask(question(), 30), range(4))} == {"a b c "}
        assert time.monotonic() - begun > 1.1
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(client.ask, question(prompt="the first"), 30)
            while not any(body["messages"][0]["content"][0]["text"] == "the first" for body in server.questions):
                time.sleep(0.005)
            with pytest.raises(Throttled, match="nothing came free"):
                client.ask(question(), 0.05)
            assert first.result().text


def test_the_breaker_opens_and_lets_one_through_when_its_time_has_come() -> None:
    """Nobody there: five tries open it, then nothing is even tried; ten seconds later one question finds the server well."""
    clock = Hurrying()
    port = free_port()
    with VisionClient(f"http://127.0.0.1:{port}/v1", pace=clock.pace()) as client:
        with pytest.raises(EngineUnavailable, match="cannot be reached"):
            client.ask(question(), 60)
        assert client.breaker.state == "open"
        with pytest.raises(EngineUnavailable, match=r"left alone for 10 s"):
            client.ask(question(), 60)
        clock.seconds += 10
        assert client.breaker.state == "half-open"
        with pytest.raises(EngineUnavailable):
            client.ask(question(), 60)
        assert client.breaker.wait == 20


def test_a_broken_server_that_recovers_is_believed_again() -> None:
    """Half-open, one good answer, closed."""
    clock = Hurrying()
    with fake(*[Fails(500)] * 5, Says("well")) as server, VisionClient(server.base_url, pace=clock.pace()) as client:
        with pytest.raises(EngineUnavailable):
            client.ask(question(), 60)
        assert client.breaker.state == "open"
        clock.seconds += 10
        assert client.ask(question(), 60).text == "well "
        assert client.breaker.state == "closed"


def test_a_cancelled_question_ends_the_servers_work() -> None:
    """The connection is closed; the client is as good as before."""

    async def impatient(client: VisionClient) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.ask_async(question(), 60), 0.4)
        assert (await client.ask_async(question(), 30)).text == "well "

    with fake(Hangs(), Says("well")) as server, VisionClient(server.base_url, concurrency=1) as client:
        asyncio.run(impatient(client))


def test_no_page_is_logged_however_much_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The packages that carry the question keep it to themselves, even at DEBUG; a later version of them may not."""
    image = question().image
    with (
        caplog.at_level(logging.DEBUG),
        fake(Fails(500), Says("a secret")) as server,
        VisionClient(server.base_url, key="my-key") as client,
    ):
        client.ask(question(prompt="the prompt"), 30)
    logged = caplog.text + "".join(map(repr, (record.args for record in caplog.records)))
    assert "POST" in logged
    for secret in ("the prompt", base64.b64encode(image).decode()[:40], "a secret", "my-key"):
        assert secret not in logged


def test_closing_ends_what_is_under_way() -> None:
    """And a client that was never used can be closed."""
    VisionClient("http://127.0.0.1:9/v1").close()
    with fake(Hangs()) as server, ThreadPoolExecutor(1) as pool:
        client = VisionClient(server.base_url)
        future = pool.submit(client.ask, question(), 60)
        while not server.questions:
            time.sleep(0.01)
        client.close()
        with pytest.raises(BaseException):  # noqa: B017  (cancelled, by whichever of its names)
            future.result(10)
