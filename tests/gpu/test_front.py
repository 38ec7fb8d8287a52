"""The front for direct callers: bounded, in one line with the pages, and otherwise as the server behind it answers."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from escriba.memory.meter import MemoryMeter
from gpu_service.admission import Admission
from gpu_service.front import Front, Rules
from tests.engines.servers import free_port, started

ASK = {"model": "tiny", "messages": [], "max_tokens": 100}


@dataclass
class Served:
    """A front, the stub behind it, and the line before it."""

    url: str
    stub: str
    admission: Admission
    well: list[bool]

    def run(self, work: Callable[[aiohttp.ClientSession], Awaitable[Any]]) -> Any:
        async def inside() -> Any:
            async with aiohttp.ClientSession() as session:
                return await work(session)

        return asyncio.run(inside())

    def ask(self, body: Any = ASK, **headers: str) -> tuple[int, Any, Any]:
        """Status, body and headers of one question."""

        async def one(session: aiohttp.ClientSession) -> tuple[int, Any, Any]:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            async with session.post(
                f"{self.url}/v1/chat/completions", data=data, headers={k.replace("_", "-"): v for k, v in headers.items()}
            ) as answer:
                return answer.status, json.loads(await answer.read()), answer.headers

        return self.run(one)  # type: ignore[no-any-return]

    def mood(self, **mood: Any) -> None:
        self.run(lambda session: session.post(f"{self.stub}/mood", json=mood))

    def seen(self) -> Any:
        async def look(session: aiohttp.ClientSession) -> Any:
            async with session.get(f"{self.stub}/seen") as answer:
                return await answer.json()

        return self.run(look)


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "tests.gpu.stub_server", str(port), "0.05"]
    with started("stub", command, port, tmp_path_factory.mktemp("stub") / "log", seconds=30) as server:
        yield server.address


@pytest.fixture
def serve(stub: str) -> Iterator[Callable[..., Served]]:
    fronts = []

    def make(*, limit: int = 4, line: int = 8, rules: Rules | None = None) -> Served:
        well = [True]
        admission = Admission(limit, line=line)
        front = Front(stub, admission, MemoryMeter(), lambda: well[0], rules or Rules(max_tokens=64, seconds=5, body_bytes=1 << 20))
        fronts.append(front)
        served = Served(f"http://127.0.0.1:{front.start('127.0.0.1', 0)}", stub, admission, well)
        served.mood()
        return served

    yield make
    for front in fronts:
        front.stop()


def test_a_question_is_handed_on_with_its_length_bounded(serve: Callable[..., Served]) -> None:
    """Whatever the bound is called and however large it is; what else was asked is untouched, and the caller's key goes no further."""
    served = serve()
    for given, most in (
        ({}, 64),
        ({"max_tokens": 10}, 10),
        ({"max_tokens": 9999}, 64),
        ({"max_completion_tokens": 5}, 5),
        ({"max_tokens": "x"}, 64),
    ):
        status, answer, _ = served.ask({"model": "m", "temperature": 0.5, **given}, Authorization="Bearer mine")
        assert status == 200
        assert answer == {"asked": {"model": "m", "temperature": 0.5, "max_tokens": most}, "authorization": ""}
    assert served.admission.inside == 0


def test_an_answer_streams_through(serve: Callable[..., Served]) -> None:
    """Piece by piece, as the server sends it."""
    served = serve()

    async def stream(session: aiohttp.ClientSession) -> Any:
        async with session.post(f"{served.url}/v1/chat/completions", json={**ASK, "stream": True}) as answer:
            return answer.content_type, [piece async for piece in answer.content.iter_any()]

    kind, pieces = served.run(stream)
    assert kind == "text/event-stream"
    assert b"".join(pieces) == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert len(pieces) > 1


def test_a_stream_that_breaks_off_does_not_look_whole(serve: Callable[..., Served]) -> None:
    """The server dies in the middle: the caller's line breaks too, instead of ending well."""
    served = serve()
    served.mood(**{"break": True})

    async def stream(session: aiohttp.ClientSession) -> Any:
        async with session.post(f"{served.url}/v1/chat/completions", json={**ASK, "stream": True}) as answer:
            return await answer.read()

    with pytest.raises(aiohttp.ClientError):
        served.run(stream)
    assert served.admission.inside == 0


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", {}, 400, "invalid_json"),
        (b"[1]", {}, 400, "invalid_json"),
        (b"[" * 100_000, {}, 400, "invalid_json"),
        (b"x" * (2 << 20), {}, 413, "too_large"),
        ({"n": 2}, {}, 400, "one_answer"),
        (ASK, {"X_Escriba_Urgency": "now"}, 400, "invalid_urgency"),
        (ASK, {"X_Escriba_Deadline_Seconds": "soon"}, 400, "invalid_deadline"),
        (ASK, {"X_Escriba_Deadline_Seconds": "-1"}, 400, "invalid_deadline"),
        (ASK, {"X_Escriba_Deadline_Seconds": "nan"}, 400, "invalid_deadline"),
        (ASK, {"X_Escriba_Deadline_Seconds": "0.01"}, 504, "deadline"),
    ],
)
def test_what_is_wrong_is_told(serve: Callable[..., Served], body: Any, headers: dict[str, str], status: int, code: str) -> None:
    """One sentence in the form of OpenAI's errors; the place is free again."""
    served = serve()
    told, answer, _ = served.ask(body, **headers)
    assert (told, answer["error"]["code"]) == (status, code)
    assert (served.admission.inside, served.admission.waiting) == (0, 0)


def test_a_key_is_asked_for_where_there_is_one(serve: Callable[..., Served]) -> None:
    """Without it, or with another, nothing is handed on."""
    served = serve(rules=Rules(key="geheim"))
    before = len(served.seen()["ids"])
    for headers in ({}, {"Authorization": "Bearer other"}):
        status, answer, _ = served.ask(ASK, **headers)
        assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
        assert "geheim" not in json.dumps(answer)
    assert len(served.seen()["ids"]) == before
    assert served.ask(ASK, Authorization="Bearer geheim")[0] == 200


def test_while_the_server_starts_callers_are_told_to_come_back(serve: Callable[..., Served]) -> None:
    """503 with Retry-After, and health says the same."""
    served = serve()
    served.well[0] = False
    status, _, headers = served.ask()
    assert (status, headers["Retry-After"]) == (503, "10")

    async def health(session: aiohttp.ClientSession) -> int:
        async with session.get(f"{served.url}/health") as answer:
            return answer.status

    assert served.run(health) == 503
    served.well[0] = True
    assert served.run(health) == 200


def test_what_the_server_says_goes_on_to_the_caller(serve: Callable[..., Served]) -> None:
    """Its errors with their Retry-After are its own."""
    served = serve()
    served.mood(status=503)
    status, answer, headers = served.ask()
    assert (status, answer["error"]["message"], headers["Retry-After"]) == (503, "no", "7")


def test_a_crowd_is_bounded_and_every_caller_gets_one_answer(serve: Callable[..., Served]) -> None:
    """Fifty at once for 2 places and a line of 8: the server sees 2 at once, the others hear 429 with Retry-After, batch before interactive."""
    served = serve(limit=2, line=8)
    before = served.seen()

    async def one(session: aiohttp.ClientSession, n: int) -> tuple[str, int]:
        urgency = "batch" if n % 2 else "interactive"
        headers = {"X-Escriba-Urgency": urgency, "X-Request-Id": f"crowd-{n}"}
        async with session.post(f"{served.url}/v1/chat/completions", json=ASK, headers=headers) as answer:
            assert answer.status == 200 or "Retry-After" in answer.headers
            return urgency, answer.status

    async def crowd(session: aiohttp.ClientSession) -> Any:
        return await asyncio.gather(*(one(session, n) for n in range(50)))

    answers = served.run(crowd)
    assert {status for _, status in answers} == {200, 429}
    ids = [known for known in served.seen()["ids"] if known.startswith("crowd-")]
    assert len(ids) == len(set(ids)) == sum(status == 200 for _, status in answers)
    served_of = {urgency: answers.count((urgency, 200)) for urgency in ("interactive", "batch")}
    assert served_of["interactive"] >= 8
    assert served_of["interactive"] > served_of["batch"]
    assert served.seen()["most"] <= max(2, before["most"])
    assert (served.admission.inside, served.admission.waiting) == (0, 0)


def test_a_caller_who_hangs_up_leaves_the_line(serve: Callable[..., Served]) -> None:
    """Inside and in line: the places are free again, and the server need not go on."""
    served = serve(limit=1)
    served.mood(hang=True)

    async def impatient(session: aiohttp.ClientSession) -> None:
        tasks = [asyncio.create_task(session.post(f"{served.url}/v1/chat/completions", json=ASK)) for _ in range(3)]
        await asyncio.sleep(0.3)
        assert (served.admission.inside, served.admission.waiting) == (1, 2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(100):
            await asyncio.sleep(0.05)
            if not served.admission.inside + served.admission.waiting:
                return

    served.run(impatient)
    assert (served.admission.inside, served.admission.waiting) == (0, 0)
