"""The queues of a deployed stack, found by their names when they are first asked for: most commands need none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from escriba.aws.clients import client
from escriba.aws.queue import SqsQueue
from escriba.errors import ConfigurationError
from escriba.ports import Queue
from escriba.topology import Topology

_BEFORE, _BEHIND = "escriba-", "-core"


def stage_of(stack: str) -> str:
    """The stage in a Core stack's name; the name itself where it is no name of ours."""
    return stack.removeprefix(_BEFORE).removesuffix(_BEHIND)


class StackQueues(Mapping[str, Queue]):
    """By the topology's names. Asking for one raises `ConfigurationError` when the deployment has none."""

    def __init__(self, stage: str, topology: Topology) -> None:
        self._stage, self._names = stage, [spec.name for spec in topology.all_queues()]
        self._found: dict[str, Queue] = {}

    def __getitem__(self, name: str) -> Queue:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._found:
            self._found[name] = SqsQueue(client("sqs"), self._url(f"{_BEFORE}{self._stage}--{name}"), name, client("cloudwatch"))
        return self._found[name]

    def _url(self, full_name: str) -> str:
        try:
            return client("sqs").get_queue_url(QueueName=full_name)["QueueUrl"]
        except client("sqs").exceptions.QueueDoesNotExist:
            raise ConfigurationError(
                f"there is no queue {full_name}; give --stack the Core stack's own name, escriba-<stage>-core, or deploy it again"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
