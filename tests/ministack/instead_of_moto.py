"""A pytest plugin: with `-p tests.ministack.instead_of_moto` tests that start moto meet the server behind AWS_ENDPOINT_URL, emptied for each."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from unittest.mock import patch

import moto

from escriba.aws.clients import forget_clients
from escriba.local import moto_repairs

_ENVIRONMENT = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
_depth = 0


@contextmanager
def _server() -> Iterator[None]:
    """Stands for `mock_aws()`: nested uses share one state, as moto's do."""
    global _depth  # noqa: PLW0603  (a plugin is one for the process)
    if not _depth:
        request = urllib.request.Request(f"{_ENVIRONMENT['AWS_ENDPOINT_URL']}/_ministack/reset", method="POST")  # noqa: S310  (our own address)
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310
            pass
    _depth += 1
    try:
        # A test that names a region means it.
        region = {name: os.environ[name] for name in ("AWS_DEFAULT_REGION",) if name in os.environ}
        with patch.dict(os.environ, {**_ENVIRONMENT, **region}):
            forget_clients()
            yield
    finally:
        forget_clients()
        _depth -= 1


moto.mock_aws = _server
moto_repairs.repaired_moto = nullcontext
