"""Passwords from AWS Secrets Manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from escriba.aws.failures import aws_failures
from escriba.errors import NotFound

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


class SecretsManager:
    """Implements `ports.Secrets`."""

    def __init__(self, client: SecretsManagerClient) -> None:
        self._client = client

    def get(self, reference: str) -> str:
        try:
            with aws_failures("fetching a secret"):
                return self._client.get_secret_value(SecretId=reference)["SecretString"]
        except self._client.exceptions.ResourceNotFoundException:
            raise NotFound("fetching a secret: it is not there") from None
