"""The vision models that a deployment offers, and which of them a policy lets a page be sent to, in which order."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from escriba.errors import ConfigurationError
from escriba.policy import Policy, complaints

OURS = "vision"
"""The queue of the GPU service, whose server is our own."""


class Backend(BaseModel):
    """One model behind one OpenAI-compatible endpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    base_url: str = Field(min_length=1, description="the endpoint, with its /v1")
    queue: Literal["vision-api", "vision"] = Field(
        default="vision-api", description="who asks it: a function (vision-api), or the GPU service beside it (vision)"
    )
    model: str = Field(description="its name in `escriba models list`: prompt, rendering and parser belong to the model")
    served_as: str = Field(default="", description="what the endpoint calls the model; empty: an API its own name, others this one")
    external: bool = Field(default=True, description="whether it stands outside the account: pages go there only if their policy says so")
    trusted: bool = Field(default=False, description="believe that it is our own although its host's address does not show it")
    key_secret: str = Field(default="", description="name of the secret that holds its key; empty: it wants none")
    usd_per_page: float = Field(default=0.0, ge=0, description="what a page costs, by estimate")
    seconds_per_page: float = Field(default=10.0, gt=0, description="how long a page takes when it runs")
    start_seconds: float = Field(default=0.0, ge=0, description="how long it takes to start when it may be at zero")
    concurrency: int = Field(default=4, ge=1, le=256, description="questions asked of it at the same time, by one sandbox")
    paused: bool = Field(default=False, description="taken out of service by its operator")


class _Offered(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: tuple[Backend, ...] = ()


def load_backends(path: Path) -> tuple[Backend, ...]:
    """Read a file of `[[backend]]` tables. Raises `ConfigurationError` with one sentence when it is missing or wrong."""
    try:
        offered = _Offered.model_validate(tomllib.loads(path.read_text("utf-8"))).backend
    except OSError as error:
        raise ConfigurationError(f"cannot read the file of vision backends {path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from None
    except ValidationError as error:
        raise ConfigurationError(f"{path} has settings that Escriba does not accept: {complaints(error)}") from None
    if len({backend.name for backend in offered}) < len(offered):
        raise ConfigurationError(f"{path} has two backends of one name")
    return offered


def patience(policy: Policy) -> float:
    """Seconds after which a page of this policy no longer waits for a better reading."""
    vision = policy.vision
    return vision.deadline_seconds if vision.urgency == "interactive" else vision.batch_deadline_seconds


def choose(backends: Iterable[Backend], policy: Policy) -> tuple[Backend, ...]:
    """Those that may be asked under this policy, first to last; none where the CPU reading has to do.

    Privacy: none outside the account unless the policy says so, and none at all there while personal data is to be masked.
    Latency: none that would answer only after the policy's patience. Cost: none above its price, cheap ones first. Operations: none that is
    paused, and of two at one price our own, then the quicker. Where the policy names models, those alone, in its order.
    """
    vision = policy.vision
    if not vision.enabled:
        return ()
    fit = [
        backend
        for backend in backends
        if (not backend.external or (vision.external and not policy.mask_pii))
        and backend.start_seconds + backend.seconds_per_page <= patience(policy)
        and backend.usd_per_page <= vision.max_usd_per_page
        and not backend.paused
        and (not vision.models or backend.model in vision.models)
    ]
    wished = {name: place for place, name in enumerate(vision.models)}
    return tuple(sorted(fit, key=lambda b: (wished.get(b.model, 0), b.usd_per_page, b.external, b.seconds_per_page, b.name)))


def queues(chosen: Iterable[Backend]) -> tuple[str, ...]:
    """The queues whose consumers ask these backends, first to last: a page waits in the first, and goes on to the next when nothing was believed."""
    return tuple(dict.fromkeys(backend.queue for backend in chosen))
