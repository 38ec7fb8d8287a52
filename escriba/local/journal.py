"""Keeps a local run's ledger and objects on disk, so that a killed run resumes and `escriba show` works afterwards.

The handlers know nothing of it: it watches the embedded AWS through the clients' own event hooks, and what was accepted is copied out
before the handler that asked for it goes on. An object is on disk before any row that names it.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends

from escriba.aws.clients import client
from escriba.aws.items import from_item
from escriba.ledger import PagesRow
from escriba.moves import counted
from escriba.settings import Settings

_PARAMETERS = "escriba.parameters"
_OK = 200


class Journal:
    """One directory: `journal.sqlite` with the rows, `objects/` with the results bucket."""

    def __init__(self, directory: Path, settings: Settings, on_row: Callable[[dict[str, Any]], None] = lambda row: None) -> None:
        """`on_row` hears of each item (in DynamoDB's JSON) as it is written."""
        self._objects = directory / "objects"
        self._objects.mkdir(parents=True, exist_ok=True)
        self._settings, self._on_row, self._lock = settings, on_row, threading.RLock()
        self._db = sqlite3.connect(directory / "journal.sqlite", check_same_thread=False, isolation_level=None)
        # The process may be killed at any moment; the machine is trusted to stay up.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute("CREATE TABLE IF NOT EXISTS items (pk TEXT, sk TEXT, item TEXT, PRIMARY KEY (pk, sk))")

    def replay(self) -> None:
        """Put everything on record back into the embedded AWS."""
        dynamodb, s3 = client("dynamodb"), client("s3")
        for (text,) in self._db.execute("SELECT item FROM items"):
            item = self._recounted(json.loads(text))
            dynamodb.put_item(TableName=self._settings.ledger_table, Item=item)
            self._on_row(item)
        for path in self._stored():
            s3.upload_file(str(path), self._settings.results_bucket, unquote(path.name))

    def _recounted(self, item: dict[str, Any]) -> dict[str, Any]:
        """A document's counters as its rows have them: of two workers' writes the kill may have let one through, the counters hold both."""
        if item["sk"]["S"] != "DOC" or item["state"]["S"] in {"RECEIVED", "REJECTED"}:
            return item
        rows = self._db.execute("SELECT item FROM items WHERE pk = ? AND sk LIKE 'PAGES#%'", (item["pk"]["S"],))
        counts = counted(from_item(row, PagesRow) for (text,) in rows if "unpacked" not in (row := json.loads(text)))
        return item | {name: {"N": str(number)} for name, number in counts.items()}

    def watch(self) -> None:
        """From now on, record every accepted write of these clients."""
        services = (("dynamodb", client("dynamodb"), self._after_dynamodb), ("s3", client("s3"), self._after_s3))
        for service, watched, after in services:
            events = watched.meta.events
            events.register(f"before-parameter-build.{service}", _keep_parameters)
            events.register(f"after-call.{service}", after)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _stored(self) -> Iterator[Path]:
        return (path for path in sorted(self._objects.iterdir()) if not path.name.endswith(".partial"))

    def _after_dynamodb(self, http_response: Any, model: Any, context: dict[str, Any], **_: Any) -> None:
        if http_response.status_code != _OK:
            return
        parameters = context.get(_PARAMETERS, {})
        if model.name in {"PutItem", "UpdateItem"}:
            self._copy_item(parameters)
        elif model.name == "TransactWriteItems":
            with self._lock:
                self._db.execute("BEGIN")
                try:
                    for action in parameters["TransactItems"]:
                        ((_, write),) = action.items()
                        self._copy_item(write)
                finally:
                    self._db.execute("COMMIT")

    def _copy_item(self, write: dict[str, Any]) -> None:
        if write["TableName"] != self._settings.ledger_table:
            return
        source = write.get("Key") or write["Item"]
        key = {"pk": source["pk"], "sk": source["sk"]}
        backend = dynamodb_backends[DEFAULT_ACCOUNT_ID][_region()]
        with self._lock:
            # Read back under the lock what the table holds now: two writers may come here in another order than they wrote.
            found = backend.get_item(self._settings.ledger_table, key)
            if found is None:
                return
            item = found.to_json()["Attributes"]
            self._db.execute("REPLACE INTO items VALUES (?, ?, ?)", (key["pk"]["S"], key["sk"]["S"], json.dumps(item)))
        self._on_row(item)

    def _after_s3(self, http_response: Any, model: Any, context: dict[str, Any], **_: Any) -> None:
        parameters = context.get(_PARAMETERS, {})
        if http_response.status_code not in {_OK, 204} or parameters.get("Bucket") != self._settings.results_bucket:
            return
        path = self._objects / quote(parameters.get("Key", ""), safe="")
        if model.name in {"PutObject", "CompleteMultipartUpload"}:
            stored = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(parameters["Bucket"], parameters["Key"])
            partial = path.with_name(f"{path.name[:200]}.{threading.get_ident()}.partial")
            with stored.lock, partial.open("wb") as file:
                stored._value_buffer.seek(0)  # noqa: SLF001  (streams; `value` would load it whole)
                shutil.copyfileobj(stored._value_buffer, file)  # noqa: SLF001
            partial.rename(path)
        elif model.name == "DeleteObject":
            path.unlink(missing_ok=True)


def _keep_parameters(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context[_PARAMETERS] = params


def _region() -> str:
    return str(client("dynamodb").meta.region_name)
