"""Who is who: a job is one upload, a reading is tenant + content + policy, and every key in a bucket follows from them."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import NamedTuple

from escriba.errors import Unsupported


class UploadKey(NamedTuple):
    """`inbox/<tenant>/<policy>/name`: the upload's key names whose document it is and how they want it read."""

    tenant: str
    policy: str
    name: str


def parse_upload_key(key: str) -> UploadKey:
    """Raises `Unsupported` for a key that names no tenant and policy."""
    parts = PurePosixPath(key).parts
    if len(parts) < 4 or parts[0] != "inbox":  # noqa: PLR2004  (inbox, tenant, policy, name)
        raise Unsupported("the upload's key is not of the form inbox/<tenant>/<policy>/<name>")
    return UploadKey(parts[1], parts[2], "/".join(parts[3:]))


def upload_key(tenant: str, policy: str, name: str) -> str:
    """The key to upload under; `parse_upload_key` reads it back."""
    return f"inbox/{tenant}/{policy}/{name}"


def job_id(bucket: str, key: str, version: str) -> str:
    """32 hexadecimal digits for one version of one uploaded object."""
    return _digest(bucket, key, version)


def document_id(tenant: str, sha256: str, fingerprint: str) -> str:
    """32 hexadecimal digits for one reading: the same bytes for the same tenant under the same policy are read once."""
    return _digest(tenant, sha256, fingerprint)


def policy_key(name: str) -> str:
    """Where a deployed policy stands in the results bucket, as JSON."""
    return f"policies/{name}.json"


def original_key(tenant: str, sha256: str) -> str:
    """Where an accepted upload's bytes stand in the results bucket."""
    return f"originals/{tenant}/{sha256}"


def plain_copy_key(document: str) -> str:
    """Where the plain copy of an encrypted document or a portfolio stands."""
    return f"readings/{document}/sources/plain"


def page_object_key(document: str, number: int) -> str:
    """Where a page that needs pixels stands, cut from its document."""
    return f"readings/{document}/sources/{number:06d}"


def result_key(document: str, first: int, last: int, content: bytes) -> str:
    """Where a reading of pages stands. Named by its content, so that a late write of another outcome never replaces it."""
    return f"readings/{document}/pages/{first:06d}-{last:06d}-{hashlib.sha256(content).hexdigest()[:16]}.json.gz"


def output_prefix(tenant: str, document: str, revision: int) -> str:
    """Key prefix of one revision's outputs in the results bucket."""
    return f"documents/{tenant}/{document}/r{revision}/"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
