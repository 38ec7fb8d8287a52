"""How many questions at once: enough that the server's batch is full, not so many that it throws them out again."""

from __future__ import annotations

import pytest

from gpu_service.admission import Admission
from gpu_service.pacing import Bounds, Load, Pacer, paced, read_load

VLLM = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 7.0
vllm:num_requests_waiting{engine="0",model_name="tiny"} 3.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny",reason="capacity"} 3.0
vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.25
vllm:num_preemptions_total{engine="0",model_name="tiny"} 2.0
vllm:num_preemptions_created{engine="0",model_name="tiny"} 1.79e+09
"""
LLAMA = "# TYPE llamacpp:requests_processing gauge\nllamacpp:requests_processing 2\nllamacpp:requests_deferred 1\n"
BOUNDS = Bounds(least=1, most=64, line=2)


def test_the_metrics_of_both_servers_are_understood() -> None:
    """Names as each has them, engines of one server added up; what says nothing of requests is no load."""
    assert read_load(VLLM) == Load(7, 3, 0.25, 2)
    assert read_load(VLLM + VLLM.replace('engine="0"', 'engine="1"')) == Load(14, 6, 0.25, 4)
    assert read_load(LLAMA) == Load(2, 1)
    assert read_load("") is None
    assert read_load("process_cpu_seconds_total 3") is None


@pytest.mark.parametrize(
    ("limit", "asked", "before", "now", "wanted"),
    [
        (8, 8, Load(8, 0), Load(8, 0, 0.3), 9),  # takes everything at once, and the limit holds it back
        (32, 32, Load(32, 0), Load(32, 0, 0.3), 36),
        (8, 5, Load(5, 0), Load(5, 0, 0.3), 8),  # there is no more work
        (8, 8, Load(6, 2), Load(6, 2, 0.3), 8),  # its batch is full and the next are at hand
        (16, 16, Load(8, 8), Load(8, 8, 0.3), 10),  # too many in its line
        (10, 10, Load(2, 8), Load(4, 6), 10),  # it is still taking in what came together
        (10, 10, Load(8, 2), Load(3, 7), 10),  # many ended together, and the next are being taken in
        (16, 16, Load(16, 0, 0.9), Load(16, 0, 0.9), 16),  # its cache is filling
        (16, 16, Load(16, 0, 0.97), Load(14, 2, 0.97), 12),  # full, and others wait for it
        (16, 16, Load(16, 0, 0.9, 0), Load(12, 4, 0.9, 1), 12),  # it threw one out
        (1, 1, Load(1, 0, 1.0, 0), Load(1, 0, 1.0, 1), 1),
        (64, 64, Load(64, 0), Load(64, 0, 0.1), 64),  # as many as there may be
    ],
)
def test_the_next_limit(limit: int, asked: int, before: Load, now: Load, wanted: int) -> None:
    """Up while it takes all, down to what it takes, down by a fifth when its cache overflows."""
    assert paced(limit, asked, before, now, BOUNDS) == wanted


@pytest.mark.parametrize(("batch", "cache"), [(4, 1000), (24, 1000), (100, 20), (7, 12)])
def test_a_server_is_filled_and_not_overfilled(batch: int, cache: int) -> None:
    """Against a server of so many places and a cache for so many: soon it is all but full, and stays so; its cache overflows seldom."""
    limit, thrown, before, running_seen = 8, 0, Load(0, 0), []
    for _ in range(120):
        running = min(limit, batch, cache)
        thrown += limit > cache and batch > cache
        now = Load(running, limit - running, min(1.0, running / cache), thrown)
        limit, before = paced(limit, limit, before, now, BOUNDS), now
        running_seen.append(running)
    possible = min(batch, cache, BOUNDS.most)
    assert min(running_seen[30:]) >= 0.75 * possible
    assert sum(running_seen[30:]) / len(running_seen[30:]) >= 0.85 * possible
    assert limit <= possible + max(BOUNDS.line, possible // 4)
    assert thrown <= 30


def test_the_pacer_sets_the_admission() -> None:
    """Every page of metrics is heard; what is none changes nothing."""
    admission = Admission(2, line=10)
    pacer = Pacer(admission, BOUNDS)
    pacer("not a page of metrics")
    assert admission.limit == 2
    for _ in range(2):
        admission.enter("batch")
    pacer(LLAMA.replace("deferred 1", "deferred 0"))
    assert admission.limit == 3
