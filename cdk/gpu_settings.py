"""What a deployment says of its GPU service: the setting `gpu` of cdk.json, checked; empty, and there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from escriba.alarms.scaling import MOST_TASKS
from escriba.backends import Backend
from escriba.errors import ConfigurationError
from escriba.models import Model, model
from escriba.models.mirror import pinned
from escriba.topology import TOPOLOGY

SPEC = TOPOLOGY.services[0]
BACKEND = "gpu-service"
"""The name of the backend that pages are routed to it by."""
PORT = 8000
CARDS = {"g5": "A10G", "g6": "L4", "g6e": "L40S"}
"""The card of each family of instances: those that are rented with one card. Larger cards come by eight."""
SIZES = ("2xlarge", "4xlarge", "8xlarge", "16xlarge")
"""With one card each, and room for a task: 8 processors and 32 GiB, of which the instance keeps some for itself."""
PRICES: Mapping[str, float] = {
    "g5.2xlarge": 1.212,
    "g5.4xlarge": 1.624,
    "g5.8xlarge": 2.448,
    "g5.16xlarge": 4.096,
    "g6.2xlarge": 0.978,
    "g6.4xlarge": 1.323,
    "g6.8xlarge": 2.014,
    "g6.16xlarge": 3.397,
    "g6e.2xlarge": 2.242,
    "g6e.4xlarge": 3.004,
    "g6e.8xlarge": 4.529,
    "g6e.16xlarge": 7.577,
}
"""USD an hour, on demand, in us-east-1, by public lists of 2026-11; not verified on an account, and without ECS's own charge for managed instances."""


class GpuSettings(BaseModel):
    """One model on GPUs of the account's own, as many as the work needs and never more than `max_tasks`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="name in `escriba models list`, with its weights mirrored")
    instance_types: tuple[str, ...] = Field(
        default=("g6.2xlarge", "g6e.2xlarge", "g5.2xlarge"), min_length=1, description="what may be rented, one card each"
    )
    spot: bool = Field(default=False, description="rent what can be taken away at two minutes' notice, for about a third of the price")
    max_tasks: int = Field(default=SPEC.max_tasks, ge=1, le=MOST_TASKS, description="GPUs at the same time, at most")
    weights: str = Field(
        default="", description="s3://BUCKET/PREFIX that `escriba models mirror` copied to; empty: weights/ in the results bucket"
    )

    @field_validator("model")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            pinned(model(name))
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        return name

    @field_validator("weights")
    @classmethod
    def _in_a_bucket(cls, place: str) -> str:
        if place and not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w./-]*)?", place):
            raise ValueError(f"{place!r} is no s3://BUCKET/PREFIX")
        return place

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for instance in self.instance_types:
            family, _, size = instance.partition(".")
            if family not in CARDS or size not in SIZES:
                raise ValueError(f"instance_types: {instance!r} is none of {', '.join(CARDS)} in one of the sizes {', '.join(SIZES)}")
            if CARDS[family] not in self.entry.gpus():
                cards = ", ".join(self.entry.gpus()) or "no card at all"
                raise ValueError(f"instance_types: {self.model} does not fit the {CARDS[family]} of {instance}; it fits {cards}")
        return self

    @property
    def entry(self) -> Model:
        """The model in the registry."""
        return model(self.model)

    @property
    def usd_per_hour(self) -> float:
        """What a card costs at most: the dearest instance that may be rented, on demand, whether `spot` makes it cheaper or not."""
        return max(PRICES[instance] for instance in self.instance_types)

    @property
    def bucket(self) -> str:
        """Where its weights are; empty: the results bucket."""
        return urlsplit(self.weights).netloc

    @property
    def prefix(self) -> str:
        """Under what in that bucket; without slashes at its ends."""
        return urlsplit(self.weights).path.strip("/") if self.weights else "weights"

    @property
    def backend(self) -> Backend:
        """As the functions that route pages know it."""
        return Backend(
            name=BACKEND,
            base_url=f"http://127.0.0.1:{PORT}/v1",
            queue="vision",
            model=self.model,
            served_as=self.model,
            external=False,
            start_seconds=SPEC.start,
        )


def read_gpu(value: Any) -> Any:
    """What the context holds, which on the command line is a text: nothing for none, else what `GpuSettings` is made of."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            raise ValueError('on the command line it is JSON, say --context gpu=\'{"model": "olmocr-2-7b-fp8"}\'') from None
    if value and not isinstance(value, (dict, GpuSettings)):
        raise ValueError('what is meant is {"model": ...}, and more settings if you like; `escriba models list` has the names')
    return value or None
