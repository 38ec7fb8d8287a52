"""The contract that every real server is held to through our client, and our client against every real server: forms, never words."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from escriba.engines.vision import VisionClient
from escriba.errors import EngineRejected, EngineUnavailable
from escriba.vision import Answer
from tests.engines.exchanges import SCHEMA, exchanges, held, recorded
from tests.engines.pictures import picture, question
from tests.engines.servers import KEY, Server

SECONDS = 60.0  # far more than any answer takes here: the machine may be busy


class Rambling:
    """Cuts an answer after so many pieces, as the guard against repetition does when it has seen enough."""

    def __init__(self, pieces: int = 3) -> None:
        self.left = pieces

    def feed(self, piece: str) -> bool:
        self.left -= 1
        return self.left <= 0


class Contract:
    """Its heirs provide the fixture `server`."""

    @pytest.fixture
    def client(self, server: Server) -> Iterator[VisionClient]:
        with VisionClient(server.base_url, key=KEY) as client:
            yield client

    @pytest.mark.parametrize("form", ["PNG", "JPEG"])
    def test_an_image_is_answered(self, client: VisionClient, form: str) -> None:
        """Both kinds of image are taken; the answer is metered, and the image costs tokens beside the prompt's."""
        answer = client.ask(question(image=picture(form), media_type=f"image/{form.lower()}", prompt="Read."), SECONDS)
        assert answer.model == "tiny"
        assert answer.prompt_tokens > 16  # 112 pixels a side are 4 x 4 tokens
        assert 0 < answer.answer_tokens <= 16
        assert 0 < answer.seconds < SECONDS

    def test_text_alone_is_answered(self, client: VisionClient) -> None:
        """No picture, fewer tokens for it, and an answer all the same."""
        seen = client.ask(question(), SECONDS)
        answer = client.ask(question(image=b"", pixels=0), SECONDS)
        assert 0 < answer.prompt_tokens <= seen.prompt_tokens - 16
        assert 0 < answer.answer_tokens <= 16

    def test_an_answer_may_not_be_longer_than_its_bound(self, client: VisionClient) -> None:
        """Whatever the model would still say: `length` and the bound's number of tokens."""
        answer = client.ask(question(max_tokens=5), SECONDS)
        assert (answer.finish, answer.answer_tokens) == ("length", 5)

    def test_an_answer_arrives_in_pieces_and_is_cut_early(self, server: Server) -> None:
        """A guard that has seen enough ends the answer as `repetition`, long before the bound, and what was said until then is metered."""
        with VisionClient(server.base_url, key=KEY, watch=Rambling) as client:
            answer = client.ask(question(max_tokens=2000), SECONDS)
        assert answer.finish == "repetition"
        assert answer.text
        assert 3 <= answer.answer_tokens < 100

    def test_a_schema_is_kept_to(self, client: VisionClient) -> None:
        """An answer that ended is JSON of that form; one that did not is the beginning of it."""
        answer = client.ask(question(schema=SCHEMA, max_tokens=300), SECONDS)
        assert answer.text.lstrip().startswith("{")
        if answer.finish == "stop":
            assert isinstance(json.loads(answer.text)["ok"], bool)

    def test_a_broken_image_is_refused_for_good(self, client: VisionClient) -> None:
        """No second try, and the server stays in good repute."""
        with pytest.raises(EngineRejected, match="refuses this image or prompt") as refused:
            client.ask(question(image=b"no picture at all"), SECONDS)
        assert refused.value.code == "engine_rejected"
        assert client.breaker.state == "closed"

    def test_what_does_not_fit_the_context_is_refused_by_name(self, client: VisionClient) -> None:
        """So that a smaller image can be tried."""
        with pytest.raises(EngineRejected, match="too long") as refused:
            client.ask(question(prompt="word " * 9000), SECONDS)
        assert refused.value.code == "too_long"

    def test_a_wrong_key_is_the_deployments_fault(self, server: Server) -> None:
        """The sentence says where to look, and holds no key."""
        with (
            VisionClient(server.base_url, key="wrong-and-secret") as client,
            pytest.raises(EngineUnavailable, match="does not accept the key") as wrong,
        ):
            client.ask(question(), SECONDS)
        assert "wrong-and-secret" not in str(wrong.value)

    def test_what_is_served_is_listed(self, client: VisionClient) -> None:
        """By the names that questions use."""
        assert client.served() == ("tiny",)

    def test_tokens_are_counted_by_the_models_own_tokenizer(self, client: VisionClient) -> None:
        """More text, more tokens; no text, none."""
        few, many = client.count_tokens("Total 12,50", "tiny"), client.count_tokens("Total 12,50 " * 20, "tiny")
        assert few is not None
        assert many is not None
        assert 0 < few < many
        assert client.count_tokens("", "tiny") == 0

    def test_more_is_asked_at_once_than_there_are_places(self, server: Server) -> None:
        """Twelve questions from twelve threads and from an event loop, three at once: all are answered, and the same question alike."""
        with VisionClient(server.base_url, key=KEY, concurrency=3) as client:
            with ThreadPoolExecutor(12) as pool:
                answers = list(pool.map(lambda _: client.ask(question(max_tokens=24), SECONDS), range(12)))

            async def together() -> list[Answer]:
                return await asyncio.gather(*(client.ask_async(question(max_tokens=24), SECONDS) for _ in range(4)))

            answers += asyncio.run(together())
        assert {answer.finish for answer in answers} <= {"length", "stop", "repetition"}
        assert len(answers) == 16

    def test_it_answers_as_recorded(self, server: Server) -> None:
        """The recordings that fakes are measured by are still what this server says."""
        told = recorded(server.kind)
        assert {name: held(exchange, server.address, KEY) for name, exchange in exchanges().items()} == told


def killed_while_answering(server: Server) -> None:
    """The server dies in the middle of an answer: its caller is told so, and soon the server is left alone. It is dead afterwards."""
    pieces: list[str] = []

    class Deadly:
        def feed(self, piece: str) -> bool:
            pieces.append(piece)
            server.kill()
            return False

    # A long list, drawn by chance lest the server takes it for a loop: it must still be talking when it dies.
    talkative = {"type": "array", "items": {"type": "boolean"}, "minItems": 300}
    with VisionClient(server.base_url, key=KEY, watch=Deadly, tries=2) as client:
        with pytest.raises(EngineUnavailable, match=r"broke off|cannot be reached"):
            client.ask(question(max_tokens=3500, schema=talkative, temperature=1.0), SECONDS)
        assert pieces
        for _ in range(2):
            with pytest.raises(EngineUnavailable):
                client.ask(question(), SECONDS)
        assert client.breaker.state == "open"
        begun = time.monotonic()
        with pytest.raises(EngineUnavailable, match="left alone"):
            client.ask(question(), SECONDS)
        assert time.monotonic() - begun < 1
