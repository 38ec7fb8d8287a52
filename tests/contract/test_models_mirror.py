"""Weights on their way from the hub to a bucket and from there to a disk: a real client, a hub on loopback, moto for S3."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from escriba.aws.clients import forget_clients
from escriba.aws.objects import S3ObjectStore
from escriba.errors import ConfigurationError
from escriba.memory.objects import MemoryObjectStore
from escriba.models import Model, model
from escriba.models.mirror import INSTALL, MANIFEST, fetch, from_hub, prefix_of, publish
from tests.contract.hub import Hub, serving
from tests.unit.test_models_weights import safetensors

ENTRY = model("lightonocr-2-1b")
WEIGHTS = safetensors({"a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}, bytes(range(12)))
FILES = {
    "model.safetensors": WEIGHTS,
    "config.json": b'{"model_type": "tiny"}',
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"\x80\x04 a pickle",
    "modeling_tiny.py": b"raise SystemExit('code of the repository was run')",
}
TAKEN = {"model.safetensors", "config.json", "tokenizer.json"}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub(ENTRY.repo, ENTRY.revision, dict(FILES))) as running:
        yield running


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3ObjectStore]:
    """A bucket that another process reaches too."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    forget_clients()
    client = boto3.client("s3")
    client.create_bucket(Bucket="weights", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    store = S3ObjectStore(client, "weights")
    yield store
    for key in list(store.keys("")):  # moto remembers from one server to the next
        store.delete(key)
    client.delete_bucket(Bucket="weights")
    server.stop()
    forget_clients()


def mirrored(hub: Hub) -> subprocess.CompletedProcess[str]:
    """The real command, in a process of its own, for the hub's client reads its address when it is imported."""
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "escriba", "models", "mirror", ENTRY.name, "--to", "s3://weights/ours"]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100, check=False)


def test_pinned_weights_come_into_the_bucket_with_their_hashes(hub: Hub, bucket: S3ObjectStore, tmp_path: Path) -> None:
    """Safetensors, JSON and tokenizer alone; a second time nothing is copied; a server starts from its cache without the bucket."""
    done = mirrored(hub)
    assert done.returncode == 0, done.stderr
    prefix = prefix_of(ENTRY, "ours")
    assert prefix == f"ours/models/lightonocr-2-1b/{ENTRY.revision}/"
    assert {key.removeprefix(prefix) for key in bucket.keys("")} == TAKEN | {MANIFEST}
    assert bucket.get(prefix + "model.safetensors") == WEIGHTS
    assert set(json.loads(bucket.get(prefix + MANIFEST))["files"]) == TAKEN
    assert not any(path.endswith((".py", ".bin")) for path in hub.asked)

    again = mirrored(hub)
    assert again.returncode == 0
    assert "already in s3://weights/ours" in again.stdout
    assert "copied" not in again.stdout

    folder = fetch(ENTRY, tmp_path, bucket, "ours")
    assert {path.name for path in folder.iterdir()} == TAKEN | {MANIFEST}
    assert fetch(ENTRY, tmp_path, None) == folder


def test_a_file_that_is_not_what_the_hub_says_is_refused(hub: Hub, tmp_path: Path) -> None:
    """By SHA-256 for weights, by git's hash for small files; what came is gone, so that another try fetches it again."""
    for name, wrong in (("model.safetensors", "0" * 64), ("config.json", "0" * 40)):
        hub.told = {name: wrong}
        with pytest.raises(ConfigurationError, match=f"{name} of {ENTRY.repo} is not what the hub says it is"):
            from_hub(ENTRY, tmp_path, print, endpoint=hub.url)
        assert not (tmp_path / name).exists()
    hub.told = {}
    assert set(from_hub(ENTRY, tmp_path, print, endpoint=hub.url).files) == TAKEN


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"files": {"pytorch_model.bin": b"", "config.json": b"{}"}}, "has no safetensors at revision"),
        ({"files": FILES | {"model.safetensors": WEIGHTS + b"more"}}, "no sound safetensors file"),
        ({"files": FILES | {"tokenizer_code.py": b""}}, "a name that is not taken: tokenizer_code.py"),
        ({"revision": "0" * 40}, "has no revision"),
        ({"repo": "someone/else"}, "cannot be fetched from the hub"),
    ],
)
def test_what_is_no_sound_pinned_model_is_refused(hub: Hub, tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    """Pickles alone, a file longer than its header says, code that calls itself a tokenizer, another revision, another repository."""
    for name, value in change.items():
        setattr(hub, name, value)
    with pytest.raises(ConfigurationError, match=complaint) as refusal:
        from_hub(ENTRY, tmp_path, print, endpoint=hub.url)
    assert "\n" not in str(refusal.value)


def test_a_hub_out_of_reach_is_one_sentence(tmp_path: Path) -> None:
    """Whatever its client raises."""
    with pytest.raises(ConfigurationError, match="cannot be fetched from the hub"):
        from_hub(ENTRY, tmp_path, print, endpoint="http://127.0.0.1:9")


def test_a_file_that_changed_on_the_way_is_not_published(hub: Hub, tmp_path: Path) -> None:
    """The manifest comes last, so a copy that breaks off is none."""
    manifest, store = from_hub(ENTRY, tmp_path, print, endpoint=hub.url), MemoryObjectStore()
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS[:-1] + b"!")
    with pytest.raises(ConfigurationError, match="has changed since it was downloaded"):
        publish(manifest, tmp_path, store, prefix_of(ENTRY), print)
    assert not any(key.endswith(MANIFEST) for key in store.keys(""))


@pytest.fixture
def store() -> MemoryObjectStore:
    """What a mirror leaves, in memory."""
    from hashlib import sha256

    store = MemoryObjectStore()
    files = {name: {"sha256": sha256(FILES[name]).hexdigest(), "size": len(FILES[name])} for name in TAKEN}
    manifest = {"name": ENTRY.name, "repo": ENTRY.repo, "revision": ENTRY.revision, "licence": ENTRY.licence, "files": files}
    for name in TAKEN:
        store.put(prefix_of(ENTRY) + name, FILES[name])
    store.put(prefix_of(ENTRY) + MANIFEST, json.dumps(manifest).encode())
    return store


def test_a_damaged_cache_is_mended_from_the_store(store: MemoryObjectStore, tmp_path: Path) -> None:
    """A changed and a lost file come again; without the store the sentence says so."""
    folder = fetch(ENTRY, tmp_path, store)
    (folder / "model.safetensors").write_bytes(WEIGHTS[:-1] + b"!")
    (folder / "config.json").unlink()
    with pytest.raises(ConfigurationError, match="not whole"):
        fetch(ENTRY, tmp_path, None)
    assert fetch(ENTRY, tmp_path, store) == folder
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert fetch(ENTRY, tmp_path, None) == folder


def test_a_changed_store_is_not_believed(store: MemoryObjectStore, tmp_path: Path) -> None:
    """Another byte in the weights, a manifest of other weights, one that leads out of the folder, none at all; nothing half fetched is left."""
    manifest = json.loads(store.get(prefix_of(ENTRY) + MANIFEST))
    store.put(prefix_of(ENTRY) + "model.safetensors", WEIGHTS[:-1] + b"!")
    with pytest.raises(ConfigurationError, match="does not match its hash"):
        fetch(ENTRY, tmp_path / "a", store)
    assert not list((tmp_path / "a").rglob("*.safetensors*"))
    for change, complaint in (
        ({"repo": "someone/else"}, "of other weights"),
        ({"files": manifest["files"] | {"../../evil.json": manifest["files"]["config.json"]}}, "not taken"),
        ({"files": 1}, "damaged"),
    ):
        store.put(prefix_of(ENTRY) + MANIFEST, json.dumps(manifest | change).encode())
        with pytest.raises(ConfigurationError, match=complaint):
            fetch(ENTRY, tmp_path / "b", store)
    store.delete(prefix_of(ENTRY) + MANIFEST)
    with pytest.raises(ConfigurationError, match="is not mirrored"):
        fetch(ENTRY, tmp_path / "c", store)


def test_weights_without_a_pinned_revision_are_not_fetched(tmp_path: Path) -> None:
    """Whatever the store holds."""
    unpinned: Model = ENTRY.model_copy(update={"revision": ""})
    with pytest.raises(ConfigurationError, match="no pinned revision"):
        fetch(unpinned, tmp_path, MemoryObjectStore())


def test_without_the_hub_s_client_the_way_out_is_named(tmp_path: Path) -> None:
    """One sentence with the extra's name."""
    (tmp_path / "huggingface_hub.py").write_text("raise ImportError('not installed')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "escriba", "models", "mirror", ENTRY.name, "--to", "s3://weights"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr == f"escriba: copying from the hub needs huggingface_hub, which is not installed; in the checkout: {INSTALL}\n"


def test_the_way_out_is_a_way() -> None:
    """It works from the checkout as `make setup` leaves it: no pip inside .venv, nothing on an index; and the page says the same."""
    root = Path(__file__).parents[2]
    assert f"\n    {INSTALL}\n" in (root / "docs" / "models.md").read_text()
    python, *_, what = shlex.split(INSTALL.partition("--python ")[2])
    assert python == ".venv/bin/python"
    assert "PIP = $(PYTHON) -m pip --python $(BIN)/python" in (root / "Makefile").read_text()
    extra = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert what == ".[models]"
    assert any(package.startswith("huggingface_hub") for package in extra["models"])
