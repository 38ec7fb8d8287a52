"""What becomes of a question when the server misbehaves: played by the fake, on a clock that hurries where there is waiting to do."""

from __future__ import annotations

import asyncio
import gzip
import time
from datetime import timedelta
from email.utils import format_datetime
from typing import Literal

import pytest

from escriba.engines.vision import VisionClient
from escriba.errors import EngineRejected, EngineTimeout, EngineUnavailable, EscribaError, Throttled
from tests.engines.fake_server import Act, Endless, Fails, FailsWithin, Floods, Hangs, Nonsense, Says, fake
from tests.engines.hurrying import START, Hurrying
from tests.engines.pictures import question


def asked(*acts: Act, seconds: float = 60.0, tries: int = 5, owner: str = "vllm") -> tuple[str | EscribaError, Hurrying, int]:
    """The answer's text or the error, the clock, and how often the server was asked."""
    clock = Hurrying()
    with fake(*acts, owner=owner) as server, VisionClient(server.base_url, pace=clock.pace(), tries=tries) as client:
        try:
            told: str | EscribaError = client.ask(question(), seconds).text
        except EscribaError as error:
            told = error
        return told, clock, len(server.questions)


@pytest.mark.parametrize(
    "act",
    [
        Fails(500),
        Fails(502),
        Fails(503),
        Fails(429),
        Fails(408),
        FailsWithin(),
        Says(breaks_off=True),
        Says(finish=None),
        Says(finish="abort"),
        Says(finish="of its own making"),
        Nonsense(b""),
        Nonsense(b"<html>a page</html>", "text/html"),
        Nonsense(b"data: {no json\n\n"),
        Nonsense(b'data: "a string"\n\n'),
        Nonsense(b'data: {"choices": [{"delta": null}]}\n\n'),
        Nonsense(b'data: {"choices": 3}\n\n'),
        Nonsense(b"\x00\xff\xfe" * 100),
    ],
    ids=str,
)
def test_what_fails_once_is_tried_again(act: Act) -> None:
    """One failure of any kind costs one wait."""
    told, clock, times = asked(act, Says("well"))
    assert told == "well "
    assert times == 2
    assert len(clock.waits) == 1
    assert 0 <= clock.waits[0] <= 0.5


@pytest.mark.parametrize(
    "act", [Fails(500), FailsWithin(), Says(breaks_off=True), Says(finish=None), Nonsense(b"<html></html>", "text/html")], ids=str
)
def test_what_always_fails_is_tried_five_times(act: Act) -> None:
    """The waits may grow to 0.5, 1, 2 and 4 s, each drawn from nothing upwards; then the server counts as unavailable."""
    told, clock, times = asked(act)
    assert isinstance(told, EngineUnavailable)
    assert "Traceback" not in str(told)
    assert times == 5
    assert all(0 <= wait <= bound for wait, bound in zip(clock.waits, (0.5, 1, 2, 4), strict=True))
    assert len(set(clock.waits)) == 4


def test_a_busy_server_is_asked_until_the_deadline_and_never_after() -> None:
    """429 without end: `Throttled`, with more tries than a failing server gets, all of them in time."""
    told, clock, times = asked(Fails(429), seconds=60)
    assert isinstance(told, Throttled)
    assert times > 5
    assert sum(clock.waits) < 60


@pytest.mark.parametrize("value", ["7", format_datetime(START + timedelta(seconds=7), usegmt=True)])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(status: int, value: str) -> None:
    """As seconds and as a date: not a moment sooner, and a little chance on top."""
    told, clock, _ = asked(Fails(status, {"Retry-After": value}), Says("well"))
    assert told == "well "
    assert 7 <= clock.waits[0] <= 7.5


def test_who_asks_for_more_time_than_there_is_gets_none() -> None:
    """No wait that would end after the deadline is begun."""
    told, clock, times = asked(Fails(429, {"Retry-After": "61"}), Says("well"), seconds=60)
    assert isinstance(told, Throttled)
    assert (clock.waits, times) == ([], 1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 301, 307, 308])
def test_what_will_not_get_better_is_asked_once(status: int) -> None:
    """A refusal for good is the document's fault (4xx), or the deployment's (key, address, redirect)."""
    told, _, times = asked(Fails(status, {"Location": "http://127.0.0.2:9/v1/chat/completions"}))
    assert times == 1
    assert isinstance(told, EngineUnavailable if status in {401, 403, 404, 301, 307, 308} else EngineRejected)
    assert "told to fail" not in str(told)


def test_what_the_server_writes_is_never_repeated() -> None:
    """It may quote the document, or the key."""
    told, _, _ = asked(Fails(400, message="cannot read 'Total 12,50'", kind="Total 12,50"))
    assert isinstance(told, EngineRejected)
    assert "12,50" not in str(told)


def test_a_hanging_server_is_given_up_in_time() -> None:
    """Two seconds of patience end after two seconds: half of them for each of two tries."""
    with fake(Hangs()) as server, VisionClient(server.base_url) as client:
        begun = time.monotonic()
        with pytest.raises(EngineTimeout, match="did not answer in time"):
            client.ask(question(), 2.0)
        assert 1.0 <= time.monotonic() - begun < 4.0
        assert len(server.questions) <= 2


def test_a_server_that_hangs_once_does_not_cost_the_page() -> None:
    """After half of the time it is asked again."""
    with fake(Hangs(), Says("well")) as server, VisionClient(server.base_url) as client:
        assert client.ask(question(), 4.0).text == "well "
        assert len(server.questions) == 2


def test_a_slow_answer_is_not_a_hanging_one() -> None:
    """Pieces that keep coming are waited for, beyond the patience for silence, up to the deadline, and slowness is no illness."""
    with fake(Says("a b c d e", pause=0.3)) as server, VisionClient(server.base_url) as client:
        assert client.ask(question(), 2.4).text == "a b c d e "
        with pytest.raises(EngineTimeout):
            client.ask(question(), 0.9)
        assert len(server.questions) == 2
        assert client.breaker.state == "closed"


def test_an_endless_answer_is_cut_by_us() -> None:
    """A server that ignores the bound is stopped at it."""
    with fake(Endless()) as server, VisionClient(server.base_url) as client:
        answer = client.ask(question(max_tokens=50), 30)
    assert answer.finish == "length"
    assert len(answer.text) < 60 * len("and so on, ")


@pytest.mark.parametrize(
    ("said", "finish"), [("stop", "stop"), ("length", "length"), ("repetition", "repetition"), ("content_filter", "filtered")]
)
def test_why_an_answer_ended(said: str, finish: str) -> None:
    """Each reason has its name."""
    with fake(Says("a b c", finish=said)) as server, VisionClient(server.base_url) as client:
        answer = client.ask(question(), 10)
    assert (answer.finish, answer.text, answer.prompt_tokens, answer.answer_tokens) == (finish, "a b c ", 9, 3)


@pytest.mark.parametrize("status", [200, 500])
def test_a_flood_is_dammed(status: int) -> None:
    """More bytes than any answer has end the try; they are not gathered."""
    with fake(Floods(status)) as server, VisionClient(server.base_url, tries=1) as client:
        with pytest.raises(EngineUnavailable, match="broke off"):
            client.ask(question(), 60)
        assert server.flooded < 40


def test_what_is_compressed_unasked_is_not_unpacked() -> None:
    """It may be a bomb: not even a good answer is taken out."""
    good = b'data: {"model": "tiny", "choices": [{"index": 0, "delta": {"content": "well"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    with fake(Nonsense(good)) as server, VisionClient(server.base_url) as client:
        assert client.ask(question(), 60).text == "well"
    packed = Nonsense(gzip.compress(good), headers={"Content-Encoding": "gzip"})
    with fake(packed) as server, VisionClient(server.base_url, tries=1) as client:
        with pytest.raises(EngineUnavailable, match="broke off"):
            client.ask(question(), 60)
        assert {headers["accept-encoding"] for _, headers, _ in server.seen} == {"identity"}


def test_a_failing_server_is_not_asked_to_count() -> None:
    """While the breaker is open an estimate has to do."""
    with fake(*[Fails(500)] * 5, Says("well")) as server, VisionClient(server.base_url, pace=Hurrying().pace()) as client:
        assert client.count_tokens("Total") == 5
        with pytest.raises(EngineUnavailable):
            client.ask(question(), 60)
        asked_before = len(server.seen)
        assert client.count_tokens("Total") is None
        assert len(server.seen) == asked_before


@pytest.mark.parametrize("late", ["breaks", "hangs"])
def test_what_was_said_to_the_end_stands(late: Literal["breaks", "hangs"]) -> None:
    """Once the server has said why the answer ended, nothing that goes wrong after that costs the page."""
    with fake(Says("a b c", late=late)) as server, VisionClient(server.base_url) as client:
        answer = client.ask(question(), 2.0)
        assert (answer.text, answer.finish, answer.answer_tokens) == ("a b c ", "stop", 3)
        assert len(server.questions) == 1


def test_a_cancelled_probe_leaves_the_door_to_the_next() -> None:
    """Half-open, the one question that was let through is cancelled: another may find out."""
    clock = Hurrying()

    async def cancelled(client: VisionClient) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.ask_async(question(), 60), 0.4)

    with fake(*[Fails(500)] * 5, Hangs(), Says("well")) as server, VisionClient(server.base_url, pace=clock.pace()) as client:
        with pytest.raises(EngineUnavailable):
            client.ask(question(), 60)
        clock.seconds += 10
        asyncio.run(cancelled(client))
        for _ in range(500):  # the client's own thread hears of it a moment later
            if not client.breaker._probing:
                break
            time.sleep(0.01)
        assert client.ask(question(), 60).text == "well "


def test_all_tries_are_paid_for() -> None:
    """A try that broke off after three words costs them too; on vLLM its prompt is known as well."""
    with fake(Says("a b c", breaks_off=True), Says("a b c d")) as server, VisionClient(server.base_url) as client:
        answer = client.ask(question(), 30)
    assert (answer.prompt_tokens, answer.answer_tokens) == (18, 7)
    with fake(Says("a b c", breaks_off=True), Says("a b c d"), owner="another") as server, VisionClient(server.base_url) as client:
        answer = client.ask(question(), 30)
    assert (answer.prompt_tokens, answer.answer_tokens) == (9, 7)


def test_only_vllm_is_asked_in_vllms_own_words() -> None:
    """Fields that OpenAI's protocol does not know go to the server that does; an endpoint outside is not even asked what it is."""
    with fake() as server, VisionClient(server.base_url) as client:
        client.ask(question(), 10)
        assert "repetition_detection" in server.questions[0]
    with fake(owner="another") as server, VisionClient(server.base_url) as client:
        client.ask(question(), 10)
        assert "repetition_detection" not in server.questions[0]
        assert client.count_tokens("Total") is None
    with fake() as server, VisionClient(server.base_url, own=False, limit_name="max_completion_tokens") as client:
        client.ask(question(max_tokens=77), 10)
        assert [path for path, _, _ in server.seen] == ["/v1/chat/completions"]
        assert "repetition_detection" not in server.questions[0]
        assert server.questions[0]["max_completion_tokens"] == 77
        assert "max_tokens" not in server.questions[0]
