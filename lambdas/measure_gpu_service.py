"""Runs every minute beside the GPU service: publishes what it is scaled by."""

from __future__ import annotations

from escriba.ports import Ports
from escriba.stages.measure_gpu_service import measure_gpu_service
from lambdas.entry import scheduled_handler


def work(ports: Ports) -> None:
    """One run."""
    measure_gpu_service(ports)


handler = scheduled_handler(work)
