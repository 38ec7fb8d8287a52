"""What a question becomes on the wire, and how long its answer may be."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escriba.engines.exchange import counted, request, tokenize_request
from escriba.vision import answer_bound
from tests.engines.exchanges import SCHEMA
from tests.engines.pictures import question


@pytest.mark.parametrize(
    ("characters", "counted_tokens", "most", "bound"),
    [
        (0, None, 4096, 4096),  # nothing was read, so nothing is known
        (0, 0, 4096, 4096),
        (40, None, 4096, 1024),  # a little was read: there may be much more
        (4000, None, 4096, 2256),
        (4000, 1500, 4096, 3256),  # the model's own count goes before the estimate
        (40_000, None, 4096, 4096),
        (4000, None, 512, 512),
    ],
)
def test_the_bound_follows_what_cpu_ocr_read(characters: int, counted_tokens: int | None, most: int, bound: int) -> None:
    """Four characters a token, twice the tokens and some; never above the policy's bound."""
    assert answer_bound(characters, counted_tokens, 4.0, most) == bound


@given(st.integers(0, 10**6), st.none() | st.integers(0, 10**6), st.floats(0.5, 10), st.integers(64, 32_000))
def test_there_is_always_a_bound(characters: int, counted_tokens: int | None, ratio: float, most: int) -> None:
    """At least one token, at most the policy's number, and more for more text."""
    bound = answer_bound(characters, counted_tokens, ratio, most)
    assert 1 <= bound <= most
    if characters:
        assert answer_bound(characters + 100, None, ratio, most) >= answer_bound(characters, None, ratio, most)


def test_a_request_is_bounded_streamed_and_metered() -> None:
    """Prompt before picture, the picture within the request: nothing is fetched from anywhere."""
    asked = question(prompt="Read.", max_tokens=33)
    body = request(asked, "max_tokens", "")
    assert body["max_tokens"] == 33
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    text, picture = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "Read."}
    assert picture["image_url"]["url"] == "data:image/png;base64," + base64.b64encode(asked.image).decode()
    assert "response_format" not in body
    assert "repetition_detection" not in body


def test_models_that_want_no_prompt_get_none() -> None:
    """The picture alone."""
    assert [part["type"] for part in request(question(prompt=""), "max_tokens", "")["messages"][0]["content"]] == ["image_url"]


def test_a_question_without_a_picture_is_its_prompt() -> None:
    """As plain text, which servers of models that see nothing take too."""
    assert request(question(image=b""), "max_tokens", "")["messages"] == [{"role": "user", "content": "Read."}]


def test_a_schema_is_asked_for_strictly() -> None:
    """In the form that OpenAI, vLLM, llama.cpp and Ollama share."""
    wanted = request(question(schema=SCHEMA), "max_tokens", "")["response_format"]
    assert wanted == {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}


def test_tokens_are_asked_for_in_each_servers_words() -> None:
    """Without the tokens that would frame a prompt."""
    assert tokenize_request("vllm", "a", "m") == {"prompt": "a", "add_special_tokens": False, "model": "m"}
    assert tokenize_request("llamacpp", "a", "m") == {"content": "a", "add_special": False}
    assert counted({"tokens": [1, 2], "count": 2}) == 2
    assert counted({"detail": "Not Found"}) is None
    assert counted([]) is None
