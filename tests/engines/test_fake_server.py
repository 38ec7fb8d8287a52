"""The fake server that plays faults is measured by what real servers answered."""

from __future__ import annotations

import pytest

from tests.engines.exchanges import exchanges, held, recorded, within
from tests.engines.fake_server import Fails, FailsWithin, Says, fake
from tests.engines.servers import KEY

KNOWN = ["models", "answer", "bad_image", "too_long", "unknown_model", "wrong_key", "tokenize", "no_such_path"]


@pytest.mark.parametrize("name", KNOWN)
def test_it_answers_as_vllm_does(name: str) -> None:
    """The same status and kind of body, and no field that vLLM has not, or of another type."""
    told = recorded("vllm")[name]
    with fake(Says(finish="length"), key=KEY) as server:
        said = held(exchanges()[name], server.address, KEY)
    assert said["status"] == told["status"]
    assert said["headers"]["Content-Type"] == told["headers"]["Content-Type"]
    assert within(said["body"], told["body"]), (said["body"], told["body"])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_its_failures_have_the_form_of_real_ones(status: int) -> None:
    """No real server fails so on demand; their envelope is that of the failures they do show."""
    with fake(Fails(status, {"Retry-After": "1"})) as server:
        said = held(exchanges()["answer"], server.address, "")
    assert (said["status"], said["headers"]["Retry-After"]) == (status, "1")
    for kind in ("vllm", "llamacpp"):
        envelope = recorded(kind)["bad_image"]["body"]
        assert within({path: types for path, types in said["body"].items() if path in envelope}, envelope)
    assert within(said["body"], recorded("vllm")["bad_image"]["body"])


def test_a_failure_within_a_stream_has_the_same_form() -> None:
    """The event that reports it holds the envelope of other failures."""
    with fake(FailsWithin()) as server:
        events = held(exchanges()["answer"], server.address, "")["body"]["events"]
    error = {path: types for path, types in events.items() if path == "." or path.startswith(".error")}
    assert within(error, recorded("vllm")["bad_image"]["body"])


def test_what_our_client_reads_is_in_the_recordings() -> None:
    """Every field that the client goes by was sent by both real servers."""
    for kind in ("vllm", "llamacpp"):
        told = recorded(kind)
        events = told["answer"]["body"]["events"]
        read = {".choices[].delta.content", ".choices[].finish_reason", ".usage.prompt_tokens", ".usage.completion_tokens", ".model"}
        assert read <= events.keys()
        assert told["answer"]["body"]["last"]
        assert {".data[].id", ".data[].owned_by"} <= told["models"]["body"].keys()
        assert {".error.code", ".error.message", ".error.type"} <= told["too_long"]["body"].keys()
        assert (told["bad_image"]["status"], told["too_long"]["status"], told["wrong_key"]["status"]) == (400, 400, 401)
        assert ".tokens[]" in told["tokenize"]["body"]
