"""A function that does what its messages say, and notes each invocation in a file; it runs in MiniStack, without our packages."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """`raise`, `sleep` past the timeout, `die`, `devour` 256 MiB, `nap`, `fail` (named as failed), `misnamed` (answered with an empty name); else do well."""
    records = [(record, json.loads(record["body"])["order"]) for record in event["Records"]]
    receives = [record["attributes"]["ApproximateReceiveCount"] for record, _ in records]
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(
            json.dumps(
                {
                    "orders": [order for _, order in records],
                    "receives": receives,
                    "at": time.time(),
                    "left": context.get_remaining_time_in_millis(),
                }
            )
            + "\n"
        )
    failed = []
    for record, order in records:
        if order == "raise":
            raise RuntimeError(order)
        if order == "sleep":
            time.sleep(60)
        if order == "die":
            os._exit(1)
        if order == "devour":
            _ = b"x" * (256 << 20)
        if order == "nap":
            time.sleep(0.5)
        if order in {"fail", "misnamed"}:
            failed.append(record["messageId"] if order == "fail" else "")
    return {"batchItemFailures": [{"itemIdentifier": identity} for identity in failed]}
