"""What a deployment sets, read from the environment in one place; `to_env` is what the CDK stacks and the local run write there."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer

from escriba.alarms import OURS
from escriba.backends import Backend
from escriba.errors import ConfigurationError
from escriba.policy import Policy
from escriba.topology import UPGRADE_WINDOW

_PREFIX = "ESCRIBA_"
_IN_JSON = ("queues", "policies", "backends")


class Settings(BaseModel):
    """One deployment's names and limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inbox_bucket: str
    results_bucket: str
    ledger_table: str
    idempotency_table: str
    event_bus: str
    queues: dict[str, str] = Field(description="URL of each queue by its name in the topology")
    policies: dict[str, Policy] = Field(default={}, description="the deployed policies by name: what differs from the defaults")
    backends: tuple[Backend, ...] = Field(
        default=(), description="the vision models that hard pages are sent to: what differs from the defaults"
    )
    reader_memory_mb: int = Field(default=3000, ge=256, description="address space of the process that opens documents, MiB")
    upgrade_window: int = Field(default=UPGRADE_WINDOW, ge=0, le=900, description="seconds for which late improvements are gathered")
    metric_namespace: str = Field(default=OURS, description="CloudWatch namespace of the functions' own metrics")
    gpu_service: str = Field(
        default="",
        pattern=r"^([^/]+/[^/]+)?$",
        description="the service on ECS that reads hard pages, as CLUSTER/SERVICE, for whoever measures it",
    )
    telemetry_file: str = Field(default="", description="where log lines and metrics go; empty: standard output")

    @field_serializer("policies")
    def _what_differs(self, policies: dict[str, Policy]) -> dict[str, dict[str, object]]:
        # A function's whole environment may hold 4 KB.
        return {name: policy.model_dump(mode="json", exclude_defaults=True) for name, policy in policies.items()}

    @field_serializer("backends")
    def _what_differs_in(self, backends: tuple[Backend, ...]) -> list[dict[str, object]]:
        return [backend.model_dump(mode="json", exclude_defaults=True) for backend in backends]

    def to_env(self) -> dict[str, str]:
        """The environment variables from which `from_env` makes these settings."""
        fields = self.model_dump()
        return {
            _PREFIX + name.upper(): json.dumps(value, separators=(",", ":")) if name in _IN_JSON else str(value)
            for name, value in fields.items()
        }

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Raises `ConfigurationError` naming every variable that is missing or wrong."""
        values: dict[str, object] = {
            name: environ[_PREFIX + name.upper()] for name in cls.model_fields if _PREFIX + name.upper() in environ
        }
        for name in _IN_JSON:
            if isinstance(text := values.get(name), str):
                values[name] = _from_json(name, text)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            wrong = ", ".join(sorted({_PREFIX + str(e["loc"][0]).upper() for e in error.errors()}))
            raise ConfigurationError(f"environment variables are missing or wrong: {wrong}") from None


def _from_json(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise ConfigurationError(f"{_PREFIX}{name.upper()} is not JSON") from None
