"""The contract against a real vLLM on the CPU; `make test-vllm` alone runs this."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from escriba.engines.vision import VisionClient
from escriba.errors import EngineUnavailable
from tests.engines.exchanges import exchanges, held
from tests.engines.pictures import question
from tests.engines.servers import KEY, Server
from tests.engines.suite import SECONDS, Contract, killed_while_answering
from tests.vllm.server import vllm

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

# What the GPU worker and the alarms go by.
METRICS = {
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:num_preemptions_total",
    "vllm:generation_tokens_total",
    "vllm:request_success_total",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with vllm(tmp_path_factory.mktemp("vllm")) as server:
        yield server


class TestVllm(Contract):
    def test_it_stops_a_loop_by_itself(self, client: VisionClient) -> None:
        """The tiny model goes in circles when it is never surprised: vLLM says `repetition`, long before the bound, and meters it."""
        answer = client.ask(question(max_tokens=1000), SECONDS)
        assert answer.finish == "repetition"
        assert 0 < answer.answer_tokens < 1000

    def test_an_unknown_model_is_answered_with_those_that_are_served(self, client: VisionClient) -> None:
        """One sentence, and no second try."""
        with pytest.raises(EngineUnavailable, match="does not serve the model nobody; it serves tiny"):
            client.ask(question(model="nobody"), SECONDS)

    def test_the_metrics_that_a_worker_reads_are_there(self, server: Server) -> None:
        """By their names of this version."""
        names = held(exchanges()["metrics"], server.address, KEY)["body"]
        assert set(names) >= METRICS


def test_killed_while_answering(server: Server) -> None:
    """SIGKILL in the middle of a page. The last test: a second server would take another minute to start."""
    killed_while_answering(server)
