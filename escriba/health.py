"""What `escriba doctor` finds: one line a check, each that fails with the way out."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Check(NamedTuple):
    """`told` is one sentence: what was found, and what to do where it is not good. A `warn` keeps nobody from working."""

    name: str
    state: Literal["ok", "warn", "fail"]
    told: str
