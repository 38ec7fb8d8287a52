"""What a deployment sets, read from the environment in one place; `to_env` is what the CDK stacks and the local run write there."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from escriba.errors import ConfigurationError
from escriba.topology import UPGRADE_WINDOW

_PREFIX = "ESCRIBA_"


class Settings(BaseModel):
    """One deployment's names and limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inbox_bucket: str
    results_bucket: str
    ledger_table: str
    idempotency_table: str
    event_bus: str
    queues: dict[str, str] = Field(description="URL of each queue by its name in the topology")
    reader_memory_mb: int = Field(default=3000, ge=256, description="address space of the process that opens documents, MiB")
    upgrade_window: int = Field(default=UPGRADE_WINDOW, ge=0, le=900, description="seconds for which late improvements are gathered")
    telemetry_file: str = Field(default="", description="where log lines and metrics go; empty: standard output")

    def to_env(self) -> dict[str, str]:
        """The environment variables from which `from_env` makes these settings."""
        fields = self.model_dump()
        return {_PREFIX + name.upper(): json.dumps(value) if isinstance(value, dict) else str(value) for name, value in fields.items()}

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Raises `ConfigurationError` naming every variable that is missing or wrong."""
        values: dict[str, object] = {
            name: environ[_PREFIX + name.upper()] for name in cls.model_fields if _PREFIX + name.upper() in environ
        }
        try:
            if isinstance(values.get("queues"), str):
                values["queues"] = json.loads(str(values["queues"]))
            return cls.model_validate(values)
        except json.JSONDecodeError:
            raise ConfigurationError(f"{_PREFIX}QUEUES is not JSON") from None
        except ValidationError as error:
            wrong = ", ".join(sorted({_PREFIX + str(e["loc"][0]).upper() for e in error.errors()}))
            raise ConfigurationError(f"environment variables are missing or wrong: {wrong}") from None
