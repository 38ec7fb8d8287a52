"""Runs every fifteen minutes: sends two documents through the real door, and judges those of the run before."""

from __future__ import annotations

from escriba.formats.canary import digital_page, scanned_page
from escriba.ports import Ports
from escriba.stages.canary import sing
from lambdas.entry import scheduled_handler


def work(ports: Ports) -> None:
    """One run."""
    sing(ports, {"digital": digital_page, "scanned": scanned_page})


handler = scheduled_handler(work)
