"""What a task of the GPU service is told, read from the environment in one place: ESCRIBA_GPU_*, beside the pipeline's own ESCRIBA_*."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from escriba.errors import ConfigurationError
from escriba.topology import TOPOLOGY

_PREFIX = "ESCRIBA_GPU_"
_OF_THE_PIPELINE = "ESCRIBA_GPU_SERVICE"  # one of `escriba.settings`, which begins like ours
_VISIBILITY = TOPOLOGY.queue("vision").visibility
_STOP = TOPOLOGY.services[0].stop


class ServiceSettings(BaseModel):
    """One task's limits and places."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: str = Field(
        default="http://127.0.0.1:8000", pattern=r"^https?://[^/\s]+$", description="address of the vision server, without /v1"
    )
    model: str = Field(
        default="", description="name in the registry of the model that is run here as a child; empty: the server is somebody else's"
    )
    weights: str = Field(default="", description="folder with that model's weights")
    flags: str = Field(default="", description="further flags for that server, as on a command line")
    at_once: int = Field(default=8, ge=1, description="questions that the server is asked at the same time, to begin with")
    at_once_most: int = Field(default=256, ge=1, le=1024, description="and at most, however well it does")
    ahead: int = Field(default=8, ge=0, le=256, description="messages taken beyond that, so that their pages are rendered in time")
    line: int = Field(default=256, ge=0, description="direct callers and pages that may wait for their turn")
    readers: int = Field(default=2, ge=1, le=64, description="processes that render pages")
    front_host: str = Field(default="127.0.0.1", description="where direct callers are listened to")
    front_port: int = Field(default=8080, ge=0, le=65535, description="and on which port; 0: nowhere")
    front_key_secret: str = Field(default="", description="name of the secret with the key that direct callers show; empty: they show none")
    front_seconds: float = Field(default=120.0, gt=0, description="how long a direct caller waits at most")
    visibility: float = Field(default=_VISIBILITY, gt=0, description="seconds for which the vision queue hides a message")
    stop_seconds: float = Field(default=_STOP - 20, ge=0, description="seconds in which a task that leaves finishes what it has begun")
    poll: int = Field(default=5, ge=0, le=20, description="seconds for which it waits at the queue")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> ServiceSettings:
        """Raises `ConfigurationError` naming every variable that is wrong."""
        names = {_PREFIX + name.upper(): name for name in cls.model_fields}
        for variable in sorted(environ):
            if variable.startswith(_PREFIX) and variable not in names and variable != _OF_THE_PIPELINE:
                near = difflib.get_close_matches(variable, names, n=1)
                meant = f"; did you mean {near[0]}?" if near else ""
                raise ConfigurationError(f"there is no environment variable {variable}{meant}")
        try:
            return cls.model_validate({name: environ[variable] for variable, name in names.items() if variable in environ})
        except ValidationError as error:
            wrong = ", ".join(sorted({_PREFIX + str(e["loc"][0]).upper() for e in error.errors()}))
            raise ConfigurationError(f"environment variables are wrong: {wrong}") from None

    def to_env(self) -> dict[str, str]:
        """What differs from the defaults, as variables from which `from_env` makes these settings."""
        return {_PREFIX + name.upper(): str(value) for name, value in self.model_dump(exclude_defaults=True).items()}
