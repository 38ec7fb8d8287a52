"""A service on ECS, of which only the number of its tasks is asked."""

from __future__ import annotations

from typing import Any

from escriba.aws.failures import aws_failures
from escriba.errors import NotFound
from escriba.ports import Tasks


class EcsService:
    """Implements `ports.Service`."""

    def __init__(self, client: Any, name: str) -> None:
        """`name` is CLUSTER/SERVICE."""
        self._client, self._name = client, name

    def tasks(self) -> Tasks:
        cluster, _, service = self._name.partition("/")
        with aws_failures(f"looking at the service {self._name}"):
            answer = self._client.describe_services(cluster=cluster, services=[service])
        # What ECS does not know it lists as a failure; a service that was deleted stays for a while as INACTIVE.
        found = [service for service in answer["services"] if service["status"] != "INACTIVE"]
        if not found:
            raise NotFound(f"there is no service {self._name} on ECS")
        return Tasks(wanted=found[0]["desiredCount"], running=found[0]["runningCount"])
