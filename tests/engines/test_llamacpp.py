"""The contract against llama.cpp's server, the engine inside Ollama, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from escriba.engines.vision import VisionClient
from tests.engines.pictures import question
from tests.engines.servers import KEY, Server, llamacpp
from tests.engines.suite import SECONDS, Contract, killed_while_answering


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with llamacpp(tmp_path_factory.mktemp("llama")) as server:
        yield server


class TestLlamaCpp(Contract):
    def test_a_model_by_another_name_is_answered_all_the_same(self, client: VisionClient) -> None:
        """It serves one model and does not look at the name; the answer says which one it was."""
        assert client.ask(question(model="nobody"), SECONDS).model == "tiny"


def test_killed_while_answering(tmp_path: Path) -> None:
    """SIGKILL in the middle of a page."""
    with llamacpp(tmp_path) as server:
        killed_while_answering(server)


def test_the_key_is_not_sent_where_there_is_none(server: Server) -> None:
    """Without a key the server refuses; the placeholder that the package insists on does not travel."""
    from escriba.errors import EngineUnavailable

    with VisionClient(server.base_url) as client, pytest.raises(EngineUnavailable, match="does not accept the key"):
        client.ask(question(), SECONDS)
    with VisionClient(server.base_url, key=KEY) as client:
        assert client.ask(question(), SECONDS).answer_tokens
