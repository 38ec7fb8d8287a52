"""Says in the words of `errors.py` what AWS said in its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from escriba.errors import Conflict, NotFound, RetryableError, Throttled

_THROTTLED = {
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "503",
}
_CONFLICT = {"TransactionConflictException", "OperationAborted"}
_NOT_FOUND = {"404", "ClusterNotFoundException", "NoSuchKey", "NoSuchVersion", "NotFound"}


@contextmanager
def aws_failures(what: str) -> Iterator[None]:
    """Translate what AWS raises while doing `what`; anything without a translation comes through as it is."""
    try:
        yield
    except ClientError as error:
        code = str(error.response["Error"].get("Code", ""))
        if code in _NOT_FOUND:
            raise NotFound(f"{what}: it is not there") from error
        if code in _THROTTLED:
            raise Throttled(f"{what}: AWS asked to slow down ({code})") from error
        if code in _CONFLICT:
            raise Conflict(f"{what}: lost a race ({code})") from error
        raise
    except NoCredentialsError as error:
        # A machine's role may be late, or its credentials server slow: whoever tries again may have them.
        raise RetryableError(f"{what}: there are no AWS credentials") from error
    except BotoCoreError as error:
        raise RetryableError(f"{what}: AWS could not be reached ({type(error).__name__})") from error
