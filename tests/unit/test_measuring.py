"""What the GPU service is scaled by is published every minute, as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from escriba.errors import ConfigurationError
from escriba.local.in_memory import InMemoryPipeline
from escriba.memory.meter import MemoryMeter
from escriba.memory.service import MemoryService
from escriba.ports import Ports
from escriba.stages.measure_gpu_service import measure_gpu_service
from tests.faults.harness import ObedientReader


def measured(tmp_path: Path, service: MemoryService, waiting: int, in_flight: int = 0) -> dict[str, float]:
    ports, meter = ports_with(tmp_path, service)
    ports.queues["vision"].send([str(n) for n in range(waiting)])
    assert len(ports.queues["vision"].receive(10)[:in_flight]) == in_flight
    measure_gpu_service(ports)
    return dict(meter.counts)


def ports_with(tmp_path: Path, service: MemoryService | None) -> tuple[Ports, MemoryMeter]:
    meter = MemoryMeter()
    pipeline = InMemoryPipeline(reader=ObedientReader(), scratch=tmp_path, meter=meter)
    return replace(pipeline.ports, gpu_service=service), meter


def test_the_backlog_is_shared_among_the_tasks_that_are_wanted(tmp_path: Path) -> None:
    """Pages that wait and pages under way count alike; a task that is still starting is one to share with."""
    assert measured(tmp_path, MemoryService(wanted=4, running=1), waiting=30, in_flight=10) == {
        "VisionBacklog": 30,
        "GpuTasksWanted": 4,
        "GpuTasksRunning": 1,
        "VisionBacklogPerTask": 7.5,
    }


def test_nothing_is_shared_among_no_tasks(tmp_path: Path) -> None:
    """At zero there is a backlog, noughts that say that somebody looked, and no backlog per task."""
    assert measured(tmp_path, MemoryService(), waiting=3) == {"VisionBacklog": 3, "GpuTasksWanted": 0, "GpuTasksRunning": 0}


def test_without_a_service_it_says_what_is_missing(tmp_path: Path) -> None:
    """In one sentence, and nothing is published."""
    ports, meter = ports_with(tmp_path, None)
    with pytest.raises(ConfigurationError, match="set ESCRIBA_GPU_SERVICE to CLUSTER/SERVICE"):
        measure_gpu_service(ports)
    assert not meter.counts
