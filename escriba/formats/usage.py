"""Writes `usage.json`: what varies between two runs of the same reading (time, attempts), taken from the ledger."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from escriba.ledger import DocumentRow, PagesRow


def usage_json(document: DocumentRow, rows: Sequence[PagesRow], by_vision: Collection[int] = ()) -> bytes:
    """One object: the reading's id, totals, and for each row of pages its route, engine, state, failures and seconds.

    `by_vision` are the pages of which a vision model's reading stands: the ledger knows only who was asked.
    """
    usage = {
        "schema_version": 1,
        "document_id": document.document_id,
        "revision": document.started,
        "pages": document.total,
        "seconds": round(sum(row.seconds for row in rows), 3),
        "failures": sum(row.attempts for row in rows),
        "rows": [
            {
                "first": row.first,
                "last": row.last,
                "route": "vision" if row.first in by_vision else row.route,
                "engine": row.engine,
                "state": row.state,
                "reason": row.reason,
                "failures": row.attempts,
                "seconds": row.seconds,
            }
            for row in rows
        ],
    }
    return msgspec.json.format(msgspec.json.encode(usage), indent=2) + b"\n"
