"""`python -m tests.packages.record`: one document through a local run, and the event that each function got, written to tests/events.

What a deployment names otherwise is named so: queues are called `escriba-dev--<name>`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from escriba.cli.reading import HANDLERS
from escriba.identity import upload_key
from escriba.local.dispatcher import Handler, sqs_event
from escriba.local.pipeline import local_pipeline
from escriba.messages import PagesRequested, decode, encode, object_created
from tests.packages.cloud import DOCUMENT, EVENTS, POLICY, TENANT

_STRAY = "not a message"


def main() -> None:
    """Write the files anew: ids and times in them are those of this run."""
    events: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, local_pipeline(Path(folder)) as pipeline:
        pipeline.put_policy(POLICY)
        key = upload_key(TENANT, POLICY.name, DOCUMENT.name)
        version, now = pipeline.ports.inbox.upload(DOCUMENT, key), pipeline.ports.clock.now()
        queues = pipeline.ports.queues
        queues["intake"].send([object_created(pipeline.settings.inbox_bucket, key, version, DOCUMENT.stat().st_size, now)])
        handlers: Mapping[str, Handler] = {name: partial(_noting, events, name, handler) for name, handler in HANDLERS.items()}
        pipeline.dispatcher(handlers, workers=1).run()
        dead = decode(events["recognise_pages"]["Records"][0]["body"])
        assert isinstance(dead, PagesRequested)
        queues["pages-dlq"].send([_STRAY, encode(dead)])
        events["quarantine"] = sqs_event("pages-dlq", queues["pages-dlq"].receive(10))
    for name, event in events.items():
        text = json.dumps(event, indent=1).replace("123456789012:", "123456789012:escriba-dev--")
        text = text.replace('Timestamp": "0"', f'Timestamp": "{now.timestamp() * 1000:.0f}"')
        (EVENTS / f"{name}.json").write_text(text + "\n")


def _noting(events: dict[str, Any], name: str, handler: Callable[[Any, Any], Any], event: Any, context: Any) -> Any:
    """The handler, its event kept: the first one, of recognise_pages the one for pixels."""
    if name not in events or '"route":"ocr"' in event["Records"][0]["body"]:
        events[name] = event
    return handler(event, context)


if __name__ == "__main__":
    main()
