"""Lets many threads of one process share a request: completions of one document in one transaction, deletions in one batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from escriba.aws.failures import aws_failures
from escriba.aws.ledger import DynamoLedger
from escriba.aws.queue import BATCH, SqsQueue
from escriba.ledger import DocumentRow, Outcome
from escriba.ports import Clock

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")
WINDOW = 0.1
"""Seconds for which the first caller waits for others to join it."""
_COMPLETIONS = 50  # of 100 actions in a transaction; more at once only makes a race more likely


class Gathering(Generic[Key, Item, Result]):
    """Answers calls that come at about the same moment under one key with one call of `work`; thread-safe.

    Where `work` raises for several, each is tried alone, so that none fails for another's sake.
    """

    def __init__(self, work: Callable[[Key, Sequence[Item]], Result], *, most: int, window: float = WINDOW) -> None:
        self._work, self._most, self._window = work, most, window
        self._open: dict[Key, list[tuple[Item, Future[Result]]]] = {}
        self._lock = threading.Lock()

    def __call__(self, key: Key, item: Item) -> Result:
        mine: Future[Result] = Future()
        with self._lock:
            group = self._open.get(key)
            if group is None or len(group) >= self._most:
                group = self._open[key] = []
            group.append((item, mine))
            leads = len(group) == 1
        if not leads:
            return mine.result()
        threading.Event().wait(self._window)
        with self._lock:
            if self._open.get(key) is group:
                del self._open[key]
        self._answer(key, group)
        return mine.result()

    def _answer(self, key: Key, group: list[tuple[Item, Future[Result]]]) -> None:
        try:
            result = self._work(key, [item for item, _ in group])
        except Exception as error:  # noqa: BLE001  (handed to whoever asked)
            if len(group) == 1:
                group[0][1].set_exception(error)
                return
            for item, future in group:
                self._alone(key, item, future)
        else:
            for _, future in group:
                future.set_result(result)

    def _alone(self, key: Key, item: Item, future: Future[Result]) -> None:
        try:
            future.set_result(self._work(key, [item]))
        except Exception as error:  # noqa: BLE001  (as above)
            future.set_exception(error)


class GatheringLedger(DynamoLedger):
    """A ledger whose completions of one document go together."""

    def __init__(self, client: Any, table: str, clock: Clock) -> None:
        super().__init__(client, table, clock)
        self._completions: Gathering[str, Sequence[Outcome], DocumentRow] = Gathering(self._complete_all, most=_COMPLETIONS)

    def complete(self, document_id: str, outcomes: Sequence[Outcome]) -> DocumentRow:
        return self._completions(document_id, outcomes)

    def _complete_all(self, document_id: str, together: Sequence[Sequence[Outcome]]) -> DocumentRow:
        return super().complete(document_id, [outcome for outcomes in together for outcome in outcomes])


class GatheringQueue(SqsQueue):
    """A queue whose deletions go together."""

    def __init__(self, client: Any, url: str, name: str) -> None:
        super().__init__(client, url, name)
        self._deletions: Gathering[None, str, None] = Gathering(self._delete_all, most=BATCH)

    def delete(self, receipt: str) -> None:
        self._deletions(None, receipt)

    def _delete_all(self, _: None, receipts: Sequence[str]) -> None:
        entries: list[Any] = [{"Id": str(n), "ReceiptHandle": receipt} for n, receipt in enumerate(receipts)]
        with aws_failures(f"deleting from {self.name}"):
            # What was not deleted comes again and is found done.
            self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
