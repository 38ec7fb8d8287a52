"""Every error Escriba raises on purpose, so that a handler decides by type whether a message is tried again.

EscribaError
├── RetryableError          the surroundings failed; the same message may succeed later
│   ├── Throttled           a service asked us to slow down
│   ├── Conflict            a conditional write lost a race that is worth running again
│   ├── EngineUnavailable   the engine's process died or would not start
│   ├── EngineTimeout       the engine did not answer within its limit
│   ├── EngineOutOfMemory   the engine ran into its memory limit
│   └── VisionAway          no vision model can be asked now, and the page may wait
├── PermanentError          the same bytes will fail again; record the reason and acknowledge
│   ├── Unsupported         not a kind of file that Escriba reads
│   ├── Encrypted           a password is needed
│   ├── Corrupt             the file is broken beyond opening
│   ├── OverLimit           a limit of the policy or the deployment was exceeded
│   ├── EngineMissing       the policy names an engine, or a language for it, that is not installed
│   ├── UnknownPolicy       the upload's key names a policy that is not deployed
│   └── EngineRejected      the engine looked at the page and refused it
├── MessageError            a message that cannot be decoded; never acknowledged, goes to the dead-letter queue
├── NotFound                an object or row that is not (or no longer) there
└── ConfigurationError      a policy or setting that a person must correct
"""

from __future__ import annotations


class EscribaError(Exception):
    """Base of all errors raised on purpose; `str()` of it is one sentence fit for a user."""


class RetryableError(EscribaError):
    """The surroundings failed; the same message may succeed later."""


class Throttled(RetryableError):
    """A service asked us to slow down."""


class Conflict(RetryableError):
    """A conditional write lost a race."""


class EngineUnavailable(RetryableError):
    """The engine's process died or would not start."""


class EngineTimeout(RetryableError):
    """The engine did not answer within its limit."""


class EngineOutOfMemory(RetryableError):
    """The engine ran into its memory limit."""


class VisionAway(RetryableError):
    """No vision model can be asked now, and the page may wait."""


class PermanentError(EscribaError):
    """The same bytes will fail again; `code` is the stable reason kept in the ledger."""

    code = "failed"
    surroundings = False
    """True when the next upload of the same bytes may succeed (a password was missing, say)."""


class Unsupported(PermanentError):
    """Not a kind of file that Escriba reads."""

    code = "unsupported"


class Encrypted(PermanentError):
    """A password is needed to open the file."""

    code = "encrypted"
    surroundings = True


class Corrupt(PermanentError):
    """The file is broken beyond opening."""

    code = "corrupt"


class OverLimit(PermanentError):
    """A limit of the policy or the deployment was exceeded."""

    code = "over_limit"
    surroundings = True


class EngineMissing(PermanentError):
    """The policy names an engine, or a language for it, that is not installed."""

    code = "engine_missing"
    surroundings = True


class UnknownPolicy(PermanentError):
    """The upload's key names a policy that is not deployed."""

    code = "unknown_policy"
    surroundings = True


class EngineRejected(PermanentError):
    """The engine looked at the page and refused it."""

    code = "engine_rejected"


class MessageError(EscribaError):
    """A message that cannot be decoded or has an unknown schema version."""


class NotFound(EscribaError):
    """An object or row that is not there."""


class ConfigurationError(EscribaError):
    """A policy or setting that a person must correct."""


def rejection(code: str, reason: str) -> PermanentError:
    """The error that stands behind a ledger's `code`."""
    kinds = {kind.code: kind for kind in PermanentError.__subclasses__()}
    return kinds.get(code, PermanentError)(reason)
