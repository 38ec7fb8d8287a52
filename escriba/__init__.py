"""Escriba: documents in, Markdown, JSON and text out; every page accounted for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from escriba.document import Document
    from escriba.errors import EscribaError
    from escriba.policy import Policy

__all__ = ["EscribaError", "Policy", "read"]
_HOMES = {"EscribaError": "escriba.errors", "Policy": "escriba.policy"}


def read(source: Path | str | bytes, *, policy: Policy | Path | str | None = None, password: str = "") -> Document:
    """Read one document (a path or its bytes) through the whole pipeline in memory, with no AWS.

    `policy` is a `Policy` or the path of a policy file. `password` opens an encrypted PDF; several are tried in turn when each stands
    on a line of its own. Pages that could not be read stand in the result as QUARANTINED, with the reason. Raises the
    `errors.PermanentError` that says why the document was rejected as a whole, `errors.ConfigurationError` for a wrong policy file, and
    OSError for an unreadable path.
    """
    from pathlib import Path  # noqa: PLC0415

    from escriba.local.in_memory import read as read_in_memory  # noqa: PLC0415  (import escriba must stay light)
    from escriba.policy import Policy, load_policy  # noqa: PLC0415

    wishes = policy if isinstance(policy, Policy) or policy is None else load_policy(Path(policy))
    return read_in_memory(source, policy=wishes, password=password)


def __getattr__(name: str) -> object:
    """What is worth a name here but would make `import escriba` heavy."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'escriba' has no attribute {name!r}")
