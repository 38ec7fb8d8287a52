"""Weights are looked at before anything loads them: sound headers, nothing that runs, the precision the registry says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escriba.errors import ConfigurationError
from escriba.models.weights import PATTERNS, check, files, header, refused


def safetensors(entries: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


TENSOR = {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}
SOUND = safetensors(
    {"__metadata__": {"format": "pt"}, "a": TENSOR, "b": {"dtype": "F32", "shape": [], "data_offsets": [12, 16]}}, bytes(16)
)


def test_a_sound_header_says_what_is_in_the_file(tmp_path: Path) -> None:
    """Type and bytes of each tensor."""
    (tmp_path / "a.safetensors").write_bytes(SOUND)
    assert header(tmp_path / "a.safetensors") == {"a": ("BF16", 12), "b": ("F32", 4)}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 8,
        SOUND[:-1],
        SOUND + b"\x00",
        safetensors({"a": TENSOR}, bytes(12), length=1 << 60),
        safetensors(b"[]", bytes(12)),
        safetensors(b"{" * 50_000, bytes(12)),
        safetensors(b'{"a": 1, "a": 2}', bytes(12)),
        safetensors({"a": TENSOR | {"data_offsets": [0, 13]}}, bytes(13)),
        safetensors({"a": TENSOR | {"data_offsets": [4, 16]}}, bytes(16)),
        safetensors({"a": TENSOR, "b": TENSOR}, bytes(12)),
        safetensors({"a": TENSOR | {"data_offsets": [12, 0]}}, bytes(12)),
        safetensors({"a": TENSOR | {"dtype": "OBJ"}}, bytes(12)),
        safetensors({"a": TENSOR | {"dtype": ["BF16"]}}, bytes(12)),
        safetensors({"a": TENSOR | {"shape": [-2, -3]}}, bytes(12)),
        safetensors({"a": TENSOR | {"shape": [True, 6]}}, bytes(12)),
        safetensors({"a": TENSOR | {"more": 1}}, bytes(12)),
        safetensors({"a": None}, bytes(12)),
        b"\x80\x04\x95" + b"pickle" * 20,
    ],
)
def test_an_unsound_header_is_refused(tmp_path: Path, data: bytes) -> None:
    """Cut, padded, too long, no object, doubled names, gaps, overlaps, types and shapes that do not agree with their place, a pickle in disguise."""
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"a\.safetensors is no sound safetensors file"):
        header(tmp_path / "a.safetensors")


@given(data=st.binary(max_size=200), place=st.integers(0, len(SOUND) - 1))
def test_any_bytes_are_answered_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, place: int) -> None:
    """Nothing else is raised, for noise and for a sound file with a hole."""
    path = tmp_path_factory.mktemp("noise") / "a.safetensors"
    for content in (data, SOUND[:place] + data + SOUND[place + len(data) :]):
        path.write_bytes(content)
        try:
            header(path)
        except ConfigurationError:
            continue


@pytest.mark.parametrize(
    "name",
    [
        "a.bin",
        "a.pt",
        "A.PTH",
        "a.ckpt",
        "a.pkl",
        "modeling.py",
        "a.gguf",
        "a.so",
        "../a.json",
        "/a.json",
        "x/../../a.json",
        "..\\a.json",
        "run",
    ],
)
def test_names_that_may_run_or_lead_out_are_refused(name: str) -> None:
    """Pickles, code, other formats, paths out of the folder."""
    assert refused(name)


def test_names_of_weights_are_taken() -> None:
    """And nothing that the patterns let through unseen is code."""
    for name in (
        "model-00001-of-00002.safetensors",
        "config.json",
        "tokenizer.model",
        "chat_template.jinja",
        "LICENSE",
        "sub/vocab.txt",
        "README.md",
    ):
        assert not refused(name)
    assert not any(pattern.endswith((".py", ".bin", "*")) for pattern in PATTERNS if pattern not in {"tokenizer*", "LICENSE*", "NOTICE*"})


def test_a_folder_of_weights_is_judged(tmp_path: Path) -> None:
    """Sound ones in one sentence; with a pickle beside them, of another precision, or without any, refused by name."""
    (tmp_path / "a.safetensors").write_bytes(SOUND)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "a.metadata").write_text("a downloader's note")
    assert check(tmp_path, "bf16") == "1 safetensors file, 0.00 GiB, mostly BF16"
    assert list(files(tmp_path)) == ["a.safetensors", "config.json"]
    with pytest.raises(ConfigurationError, match="mostly BF16 tensors, where the registry says fp8"):
        check(tmp_path, "fp8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(ConfigurationError, match=r"pytorch_model\.bin"):
        check(tmp_path, "bf16")
    (tmp_path / "pytorch_model.bin").unlink()
    (tmp_path / "a.safetensors").unlink()
    with pytest.raises(ConfigurationError, match="no safetensors file"):
        check(tmp_path, "bf16")
