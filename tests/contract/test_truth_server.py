"""Truths served as a model's answers: through real clients and sockets, to the letter, and never for an image that nobody registered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from escriba.engines.vision import VisionClient
from escriba.errors import EngineRejected, EngineUnavailable
from escriba.evaluation.truth_server import MODEL, key_of, truth_server
from escriba.vision import Question

TRUTH = "Fogareiro\n\n  12,50 €\t<b>&\u2028end"


@pytest.fixture
def url() -> Iterator[str]:
    with truth_server({key_of(b"an image"): TRUTH}) as address:
        yield address


def question(image: bytes) -> Question:
    return Question(model=MODEL, prompt="Read.", image=image, media_type="image/png", pixels=1, max_tokens=100)


def test_the_image_brings_its_truth_to_the_letter(url: str) -> None:
    """Through a real client and a real socket; another image brings nothing."""
    with VisionClient(url) as model:
        answer = model.ask(question(b"an image"), 10)
        assert (answer.text, answer.finish, answer.model) == (TRUTH, "stop", MODEL)
        with pytest.raises(EngineRejected, match="refuses"):
            model.ask(question(b"another image"), 10)


def test_a_stream_brings_it_too(url: str) -> None:
    """In pieces that make the truth again, as production's client asks for them."""
    import base64

    import openai

    image = f"data:image/png;base64,{base64.b64encode(b'an image').decode()}"
    with closing(openai.OpenAI(base_url=url, api_key="none", max_retries=0)) as client:
        parts = client.chat.completions.create(
            model=MODEL, stream=True, messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": image}}]}]
        )
        assert "".join(part.choices[0].delta.content or "" for part in parts) == TRUTH
        assert [model.id for model in client.models.list()] == [MODEL]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"messages": [{"content": "no image"}]}',
        b'{"messages": [{"content": [{"type": "image_url", "image_url": {"url": "http://elsewhere/"}}]}]}',
    ],
)
def test_what_holds_no_image_is_refused(url: str, body: bytes) -> None:
    """With the status that says whose fault it is, and the server stays."""
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=10)) as connection:
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        assert connection.getresponse().status == 400
    with VisionClient(url) as model:
        assert model.ask(question(b"an image"), 10).text == TRUTH


def test_a_server_that_is_gone_is_unavailable() -> None:
    """Once the block has ended nobody listens."""
    with truth_server({}) as address:
        pass
    with VisionClient(address) as model, pytest.raises(EngineUnavailable):
        model.ask(question(b"an image"), 5)
