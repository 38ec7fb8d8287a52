"""Runs every five minutes: recomputes conservation, sends lost work again, publishes what waits."""

from __future__ import annotations

from escriba.ports import Ports
from escriba.stages.reconcile import reconcile
from lambdas.entry import scheduled_handler


def work(ports: Ports) -> None:
    """One run."""
    reconcile(ports)


handler = scheduled_handler(work)
