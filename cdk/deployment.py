"""What one deployment is told: the context of cdk.json and of `-c name=value`, checked, and the policies that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cdk.gpu_settings import BACKEND, GpuSettings, read_gpu
from escriba.alarms import OURS
from escriba.backends import OURS as VISION
from escriba.backends import Backend, load_backends
from escriba.policy import Policy, load_policy
from escriba.settings import Settings

ROOT = Path(__file__).parents[1]
POLICY_BYTES, BACKENDS_BYTES = 1_700, 600
"""What is left for policies and for vision backends of the 4 KB that a function's environment may hold."""

_KINDS = '["g6.2xlarge"]'
_MEANT = {
    (
        "stage",
        "string_pattern_mismatch",
    ): "{!r} is no name of a stage, which has up to 16 small letters and digits, a letter first, say dev",
    ("alarm_email", "string_pattern_mismatch"): "{!r} is no address, say ops@example.org; empty: nobody, in dev alone",
    ("gpu.model", "missing"): "it is missing; `escriba models list` has the names",
    ("gpu.model", "string_type"): "a name of `escriba models list` is meant, not {!r}",
    ("gpu.instance_types", "tuple_type"): f"a list is meant, say {_KINDS}, not {{!r}}",
    ("gpu.instance_types", "too_short"): f"name at least one, say {_KINDS}",
}
"""By setting and kind of mistake, a sentence for what pydantic would tell in its own words."""


class Deployment(BaseModel):
    """One stage. Several live side by side in one account and region: whatever has a name of its own carries the stage in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str = Field(pattern=r"^[a-z][a-z0-9]{0,15}$", description="dev loses its data with its stack; every other stage keeps it")
    architecture: Literal["x86_64", "arm64"] = Field(description="processor of the functions")
    policies: Path = Field(description="folder of policies in TOML, from the checkout's top")
    backends: str = Field(
        default="", description="file of vision backends in TOML, from the checkout's top; empty: hard pages keep their CPU reading"
    )
    alarm_email: str = Field(pattern=r"^$|^[^@\s]+@[^@\s]+$", description="who hears of alarms; only dev with no GPUs may go without")
    monthly_budget_usd: float = Field(ge=0, description="what a month may cost; 0: no budget")
    gpu: GpuSettings | None = Field(default=None, description="the GPU service (docs/deploy.md); empty: none")

    @field_validator("gpu", mode="before")
    @classmethod
    def _none_where_empty(cls, value: Any) -> Any:
        return read_gpu(value)

    @model_validator(mode="after")
    def _somebody_hears(self) -> Self:
        if self.stage != "dev" and not self.alarm_email:
            raise ValueError(f"alarm_email: the stage {self.stage} has alarms, and somebody must hear them (ALARM_EMAIL=...)")
        if self.gpu and not self.alarm_email:
            raise ValueError(
                "gpu needs alarm_email: without alarms nobody is told of tasks that start and die and are paid for; give an address (ALARM_EMAIL=..., or "
                "alarm_email in cdk.json), or leave gpu empty"
            )
        return self

    @property
    def name(self) -> str:
        """What every physical name begins with."""
        return f"escriba-{self.stage}"

    @property
    def namespace(self) -> str:
        """CloudWatch namespace of what the functions emit."""
        return f"{OURS}/{self.stage}"

    @property
    def keeps_data(self) -> bool:
        """Whether buckets, tables and their key outlive the stack."""
        return self.stage != "dev"

    def load_policies(self) -> dict[str, Policy]:
        """Every policy by name. Raises `ConfigurationError` for a wrong file, ValueError for two of one name or more than fits."""
        policies: dict[str, Policy] = {}
        for path in sorted((ROOT / self.policies).glob("*.toml")):
            policy = load_policy(path)
            if policy.name != path.stem:
                raise ValueError(f"{path} is the policy {policy.name!r}: name the file {policy.name}.toml")
            policies[policy.name] = policy
        if "default" not in policies:
            raise ValueError(f"{ROOT / self.policies} holds no default.toml")
        if (size := len(_environment_of(policies)["ESCRIBA_POLICIES"].encode())) > POLICY_BYTES:
            raise ValueError(
                f"the policies take {size} bytes of a function's environment, {POLICY_BYTES} are left for them; "
                "put some into the results bucket instead (docs/deploy.md)"
            )
        return policies

    def load_backends(self) -> tuple[Backend, ...]:
        """The vision models of this deployment, its own GPU's among them. Raises `ConfigurationError` for a wrong file, ValueError for more than fits."""
        backends = load_backends(ROOT / self.backends) if self.backends else ()
        if self.gpu:
            if taken := [backend.name for backend in backends if backend.queue == VISION]:
                raise ValueError(
                    f"backends: {taken[0]} is in the vision queue, whose GPU service asks no model but its own: leave one of them out"
                )
            if BACKEND in {backend.name for backend in backends}:
                raise ValueError(f"backends: {BACKEND} is the name of the GPU service's own: give yours another")
            backends = (*backends, self.gpu.backend)
        if (size := len(_environment_of({}, backends)["ESCRIBA_BACKENDS"].encode())) > BACKENDS_BYTES:
            raise ValueError(
                f"the vision backends take {size} bytes of a function's environment, {BACKENDS_BYTES} are left for them: name fewer"
            )
        return backends


def read_deployment(context: Mapping[str, Any]) -> Deployment:
    """The deployment that the context describes; raises ValueError with one sentence naming every wrong value."""
    try:
        return Deployment.model_validate({name: context[name] for name in Deployment.model_fields if name in context})
    except ValidationError as error:
        # A list whose every member is wrong is "too short" as well; that helps nobody.
        errors = [e for e in error.errors() if e["type"] != "too_short" or e["input"] in ((), [])]
        wrong = "; ".join(": ".join([*map(str, e["loc"]), _told(e)]) for e in errors)
        raise ValueError(f"cdk.json's context, or a -c on the command line, is not accepted: {wrong}") from None


def _told(wrong: Any) -> str:
    if wrong["type"] == "value_error":
        return str(wrong["ctx"]["error"])
    if wrong["type"] == "extra_forbidden":
        return "there is no such setting (docs/deploy.md lists them all)"
    if meant := _MEANT.get((".".join(map(str, wrong["loc"])), wrong["type"])):
        return meant.format(wrong["input"])
    return str(wrong["msg"]).lower()


def _environment_of(policies: dict[str, Policy], backends: tuple[Backend, ...] = ()) -> dict[str, str]:
    names = dict.fromkeys(("inbox_bucket", "results_bucket", "ledger_table", "idempotency_table", "event_bus"), "")
    return Settings.model_validate({**names, "queues": {}, "policies": policies, "backends": backends}).to_env()
