"""Brings a model's weights from S3 into the volume that vLLM reads them from: `python -m gpu_service.weights`, before the server starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from escriba.aws.clients import client
from escriba.aws.objects import S3ObjectStore
from escriba.aws.stack import refusals
from escriba.errors import ConfigurationError, EscribaError
from escriba.models import model
from escriba.models.mirror import fetch


def main() -> None:
    """MODEL, MODEL_BUCKET, MODEL_PREFIX and MODEL_CACHE in the environment say what, whence and whither; what fails ends it with one sentence."""
    try:
        name, bucket, cache = (_told(variable) for variable in ("MODEL", "MODEL_BUCKET", "MODEL_CACHE"))
        wanted = model(name)
        with refusals():
            folder = fetch(wanted, Path(cache), S3ObjectStore(client("s3"), bucket), os.environ.get("MODEL_PREFIX", ""))
    except EscribaError as error:
        sys.exit(f"escriba: {error}")
    sys.stdout.write(f"{wanted.name} {wanted.revision[:12]} is in {folder}\n")


def _told(variable: str) -> str:
    if not (value := os.environ.get(variable, "")):
        raise ConfigurationError(f"the environment variable {variable} is missing")
    return value


if __name__ == "__main__":
    main()
