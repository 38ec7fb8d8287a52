"""A bucket on S3."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig

from escriba.aws.failures import aws_failures
from escriba.ports import StoredVersion

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ONE_REQUEST = 8 << 20  # bytes; what is larger goes up in parts
_PIECE = 1 << 20


class S3ObjectStore:
    """Implements `ports.ObjectStore`."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client, self._bucket = client, bucket

    @property
    def bucket(self) -> str:
        return self._bucket

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> str:
        with aws_failures(f"storing {key}"):
            answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=content_type)
        return answer.get("VersionId", "")

    def get(self, key: str, *, version: str = "") -> bytes:
        with aws_failures(f"fetching {key}"):
            return self._client.get_object(Bucket=self._bucket, Key=key, **_version(version))["Body"].read()

    def size(self, key: str, *, version: str = "") -> int:
        with aws_failures(f"looking at {key}"):
            return self._client.head_object(Bucket=self._bucket, Key=key, **_version(version))["ContentLength"]

    def upload(self, path: Path, key: str, *, content_type: str = "application/octet-stream") -> str:
        if path.stat().st_size <= _ONE_REQUEST:
            return self.put(key, path.read_bytes(), content_type=content_type)
        with aws_failures(f"storing {key}"):
            self._client.upload_file(
                str(path), self._bucket, key, ExtraArgs={"ContentType": content_type}, Config=TransferConfig(use_threads=False)
            )
            return self._client.head_object(Bucket=self._bucket, Key=key).get("VersionId", "")

    def download(self, key: str, path: Path, *, version: str = "") -> None:
        with aws_failures(f"fetching {key}"), path.open("wb") as file:
            shutil.copyfileobj(self._client.get_object(Bucket=self._bucket, Key=key, **_version(version))["Body"], file, _PIECE)

    def delete(self, key: str, *, version: str = "") -> None:
        with aws_failures(f"deleting {key}"):
            self._client.delete_object(Bucket=self._bucket, Key=key, **_version(version))

    def keys(self, prefix: str) -> Iterator[str]:
        with aws_failures(f"listing {prefix}"):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield entry["Key"]

    def versions(self, prefix: str) -> Iterator[StoredVersion]:
        with aws_failures(f"listing {prefix}"):
            for page in self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix):
                for entry in page.get("Versions", ()):
                    yield StoredVersion(entry["Key"], entry["VersionId"], entry["Size"], entry["LastModified"].timestamp())


def _version(version: str) -> Any:
    return {"VersionId": version} if version else {}
