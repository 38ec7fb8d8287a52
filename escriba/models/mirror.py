"""Brings pinned weights from the hub to our own store, and from there to a server's disk, every file checked by its hash on each step."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from escriba.errors import ConfigurationError, NotFound
from escriba.models.registry import Model
from escriba.models.weights import PATTERNS, check, header, refused

MANIFEST = "manifest.json"
INSTALL = "python3 -m pip --python .venv/bin/python install -e '.[models]'"
"""What adds the hub's client to the checkout's environment, which has no pip of its own."""


class Store(Protocol):
    """What is needed of a bucket; `ports.ObjectStore` has it."""

    def get(self, key: str, *, version: str = "") -> bytes: ...
    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> str: ...
    def upload(self, path: Path, key: str, *, content_type: str = "application/octet-stream") -> str: ...
    def download(self, key: str, path: Path, *, version: str = "") -> None: ...


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class File(_Entry):
    """A file's SHA-256 and size."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class Manifest(_Entry):
    """What stands beside mirrored weights: which they are, and each file's hash."""

    schema_version: int = 1
    name: str
    repo: str
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    licence: str
    files: dict[str, File]


def pinned(model: Model) -> Model:
    """The model, if it has weights at a pinned revision. Raises `ConfigurationError`."""
    if not model.repo:
        raise ConfigurationError(f"{model.name} has no weights that could be copied")
    if not model.revision:
        raise ConfigurationError(
            f"{model.name} has no pinned revision yet: set it in models.toml to a commit of {model.repo} that you have looked at"
        )
    return model


def prefix_of(model: Model, prefix: str = "") -> str:
    """Where its files stand in a store, with a slash at the end."""
    return f"{prefix.strip('/')}/models/{model.name}/{model.revision}/".lstrip("/")


def from_hub(model: Model, folder: Path, told: Callable[[str], None], *, endpoint: str | None = None) -> Manifest:
    """Download the pinned revision into the folder, and check each file by what the hub says of it.

    `endpoint` is another hub than the one that `HF_ENDPOINT`, or the client itself, names.

    Raises `ConfigurationError` in one sentence: no library, hub out of reach, no such revision, a file that is not what it should be.
    """
    pinned(model)
    try:
        import httpx  # noqa: PLC0415  (with the extra only)
        from huggingface_hub import HfApi, hf_hub_download  # noqa: PLC0415
        from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            f"copying from the hub needs huggingface_hub, which is not installed; in the checkout: {INSTALL}"
        ) from None
    try:
        info = HfApi(endpoint=endpoint).model_info(model.repo, revision=model.revision, files_metadata=True)
        wanted = [file for file in info.siblings or () if any(fnmatch(file.rfilename, pattern) for pattern in PATTERNS)]
        if info.sha != model.revision or not any(file.rfilename.endswith(".safetensors") for file in wanted):
            raise ConfigurationError(f"{model.repo} has no safetensors at revision {model.revision}")
        for file in wanted:
            if refused(file.rfilename):
                raise ConfigurationError(f"{model.repo} has a file of a name that is not taken: {file.rfilename}")
            told(f"{file.rfilename} ({(file.size or 0) / 1e6:.1f} MB)")
            path = Path(hf_hub_download(model.repo, file.rfilename, revision=model.revision, local_dir=folder, endpoint=endpoint))
            if not _as_the_hub_says(path, file):
                path.unlink()
                raise ConfigurationError(f"{file.rfilename} of {model.repo} is not what the hub says it is; try again")
    except RevisionNotFoundError:
        raise ConfigurationError(f"{model.repo} has no revision {model.revision}; pin another one in models.toml") from None
    except (HfHubHTTPError, httpx.HTTPError, OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ConfigurationError(f"{model.repo} cannot be fetched from the hub: {reason}") from None
    check(folder, model.precision)
    files = {file.rfilename: _described(folder / file.rfilename) for file in wanted}
    return Manifest(name=model.name, repo=model.repo, revision=model.revision, licence=model.licence, files=files)


def publish(manifest: Manifest, folder: Path, store: Store, prefix: str, told: Callable[[str], None]) -> bool:
    """Copy what the manifest lists to `prefix` of the store, the manifest last; False when it is there already."""
    text = manifest.model_dump_json(indent=1).encode()
    try:
        if store.get(prefix + MANIFEST) == text:
            return False
    except NotFound:
        pass
    for name, file in manifest.files.items():
        if _described(folder / name) != file:
            raise ConfigurationError(f"{name} has changed since it was downloaded; start again")
        told(name)
        store.upload(folder / name, prefix + name)
    store.put(prefix + MANIFEST, text, content_type="application/json")
    return True


def fetch(model: Model, cache: Path, store: Store | None, prefix: str = "") -> Path:
    """A folder with the model's weights, each file's hash checked: from the cache, without the store, when everything is there.

    Called when a server starts. Raises `ConfigurationError`: not mirrored, a file that does not match its hash, a header that is not sound.
    """
    pinned(model)
    folder = cache / model.name / model.revision
    try:
        manifest = _manifest((folder / MANIFEST).read_bytes(), model)
    except (OSError, ConfigurationError):
        manifest = None
    lacking = _lacking(folder, manifest) if manifest else {}
    if manifest is None or lacking:
        if store is None:
            raise ConfigurationError(f"the weights of {model.name} are not whole in {folder}, and no store is named to fetch them from")
        text = _from_store(store, prefix_of(model, prefix), model)
        manifest = _manifest(text, model)
        for name, file in _lacking(folder, manifest).items():
            _bring(store, prefix_of(model, prefix) + name, folder / name, file)
        _written(folder / MANIFEST, text)
    for name in manifest.files:
        if name.endswith(".safetensors"):
            header(folder / name)
    return folder


def _from_store(store: Store, prefix: str, model: Model) -> bytes:
    try:
        return store.get(prefix + MANIFEST)
    except NotFound:
        raise ConfigurationError(f"{model.name} is not mirrored at this revision: run escriba models mirror {model.name} first") from None


def _manifest(text: bytes, model: Model) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError:
        raise ConfigurationError(f"the manifest of {model.name} is damaged: mirror it again") from None
    if (manifest.name, manifest.repo, manifest.revision) != (model.name, model.repo, model.revision):
        raise ConfigurationError(f"the manifest of {model.name} is of other weights: mirror it again")
    if any(refused(name) or name == MANIFEST for name in manifest.files):
        raise ConfigurationError(f"the manifest of {model.name} lists files that are not taken: mirror it again")
    return manifest


def _lacking(folder: Path, manifest: Manifest) -> Mapping[str, File]:
    """Files that are absent, or not what the manifest says."""
    return {name: file for name, file in manifest.files.items() if not (folder / name).is_file() or _described(folder / name) != file}


def _bring(store: Store, key: str, path: Path, file: File) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        store.download(key, partial)
        if _described(partial) != file:
            raise ConfigurationError(f"{key} does not match its hash in the manifest: mirror it again")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _written(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(path)


def _described(path: Path) -> File:
    with path.open("rb") as file:
        return File(sha256=hashlib.file_digest(file, "sha256").hexdigest(), size=path.stat().st_size)


def _as_the_hub_says(path: Path, file: Any) -> bool:
    """By SHA-256 where the hub keeps the file as large (LFS), else by git's own hash of it."""
    if file.lfs is not None:
        return _described(path) == File(sha256=file.lfs.sha256, size=file.lfs.size)
    data = path.read_bytes()
    return bool(hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == file.blob_id)
