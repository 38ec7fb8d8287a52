"""Brings a model's weights from S3 into the volume that vLLM reads them from: `python -m gpu_service.weights`, before the server starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from escriba.aws.clients import client
from escriba.aws.objects import S3ObjectStore
from escriba.errors import EscribaError
from escriba.models import model
from escriba.models.mirror import fetch


def main() -> None:
    """MODEL, MODEL_BUCKET, MODEL_PREFIX and MODEL_CACHE in the environment say what, whence and whither; what fails ends it with one sentence."""
    try:
        wanted = model(os.environ["MODEL"])
        store = S3ObjectStore(client("s3"), os.environ["MODEL_BUCKET"])
        folder = fetch(wanted, Path(os.environ["MODEL_CACHE"]), store, os.environ.get("MODEL_PREFIX", ""))
    except KeyError as error:
        sys.exit(f"escriba: the environment variable {error.args[0]} is missing")
    except EscribaError as error:
        sys.exit(f"escriba: {error}")
    sys.stdout.write(f"{wanted.name} {wanted.revision[:12]} is in {folder}\n")


if __name__ == "__main__":
    main()
