"""Passwords from AWS Secrets Manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from escriba.aws.failures import aws_failures

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


class SecretsManager:
    """Implements `ports.Secrets`."""

    def __init__(self, client: SecretsManagerClient) -> None:
        self._client = client

    def get(self, reference: str) -> str:
        with aws_failures("fetching a secret"):
            return self._client.get_secret_value(SecretId=reference)["SecretString"]
