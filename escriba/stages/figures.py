"""Counts what happens to users' documents; the canary's are kept apart, so that an idle night looks like one."""

from __future__ import annotations

from escriba.ledger import DocumentRow
from escriba.ports import Ports

CANARY = "canary"
"""The tenant of documents that the pipeline sends itself."""


def count(ports: Ports, document: DocumentRow, metric: str, value: float = 1) -> None:
    """Count for a document's tenant, unless that is the canary."""
    if document.tenant != CANARY:
        ports.meter.count(metric, value)
