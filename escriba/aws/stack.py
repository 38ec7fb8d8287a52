"""Finds a deployed stack's resources by its outputs, and says in a user's words why AWS refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from escriba.aws.clients import client
from escriba.errors import ConfigurationError

REACHED_BY = ("InboxBucket", "ResultsBucket", "LedgerTable")
"""Outputs of a Core stack by which documents go in and come out."""
_LOGGED_OUT = {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"}
_DENIED = {"AccessDenied", "AccessDeniedException"}


@contextmanager
def refusals() -> Iterator[None]:
    """Whatever AWS raises inside becomes a `ConfigurationError` with the way out."""
    try:
        yield
    except NoRegionError:
        raise ConfigurationError("no AWS region is set; export AWS_REGION, or name one in your profile") from None
    except NoCredentialsError:
        raise ConfigurationError("there are no AWS credentials; run aws configure, or export AWS_PROFILE") from None
    except ClientError as error:
        raise ConfigurationError(_refusal(error)) from None
    except BotoCoreError as error:
        raise ConfigurationError(f"AWS cannot be reached ({type(error).__name__}); check the network and AWS_PROFILE") from None


def stack_outputs(name: str) -> dict[str, str]:
    """The outputs of a stack, by name. Raises `ConfigurationError` when there is no such stack or it is no Core stack."""
    with refusals():
        try:
            [stack] = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if error.response["Error"].get("Code") != "ValidationError":
                raise
            region = client("cloudformation").meta.region_name
            raise ConfigurationError(f"there is no stack {name!r} in {region}; check its name and AWS_REGION") from None
    outputs = {str(output["OutputKey"]): str(output["OutputValue"]) for output in stack.get("Outputs", ())}
    absent = [key for key in REACHED_BY if key not in outputs]
    if absent:
        raise ConfigurationError(f"the stack {name} has no output {', '.join(absent)}: it is no Core stack, or is still being made")
    return outputs


def _refusal(error: ClientError) -> str:
    code = str(error.response["Error"].get("Code", ""))
    if code in _LOGGED_OUT:
        return f"AWS does not accept the credentials ({code}); log in again, or check AWS_PROFILE"
    if code in _DENIED:
        return f"these credentials may not do {error.operation_name}; ask for a role that may"
    return f"AWS refused {error.operation_name} ({code})"
