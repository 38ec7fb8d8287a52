"""Looks at a folder of weights before anything loads it: safetensors with sound headers, and no file that could run."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from escriba.errors import ConfigurationError

PATTERNS = ("*.safetensors", "*.json", "*.jinja", "tokenizer*", "vocab.txt", "merges.txt", "*.md", "LICENSE*", "NOTICE*")
"""Files of a repository that are copied; everything else stays where it is."""

_ALLOWED = frozenset({".safetensors", ".json", ".jinja", ".model", ".txt", ".md"})
_PLAIN = frozenset({"LICENSE", "NOTICE", ".gitattributes"})
_LONGEST_HEADER = 100_000_000  # bytes, as in the library that defines the format
_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16} | {
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64"), 64),
}
_DTYPES = {"bf16": {"BF16"}, "fp16": {"F16"}, "fp8": {"F8_E4M3", "F8_E5M2"}, "int8": {"I8"}, "awq-int4": {"I32"}}


def refused(name: str) -> bool:
    """Whether a file of this name has no place beside weights: pickles, code, other formats, paths that lead out."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.name:
        return True
    return path.suffix.lower() not in _ALLOWED and path.name not in _PLAIN


def header(path: Path) -> Mapping[str, tuple[str, int]]:
    """Each tensor's dtype and bytes, from the file's header alone. Raises `ConfigurationError` where it is not sound.

    The format: 8 bytes little endian, the length of a JSON object; then that object; then the tensors, without gaps or overlaps.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_LONGEST_HEADER, size - 8):  # noqa: PLR2004  ("{}" at least)
            raise _unsound(path, "its header is longer than the file, or empty")
        text = file.read(length)
    try:
        entries = json.loads(text, object_pairs_hook=_once)
        if not isinstance(entries, dict):
            raise TypeError  # noqa: TRY301  (the sentence is the same)
    except (ValueError, TypeError, RecursionError):
        raise _unsound(path, "its header is no JSON object") from None
    entries.pop("__metadata__", None)
    found, places = dict[str, tuple[str, int]](), list[tuple[int, int]]()
    for name, entry in entries.items():
        place = _place(entry)
        if place is None:
            raise _unsound(path, "a tensor's type, shape and place do not agree")
        places.append(place)
        found[name] = (entry["dtype"], place[1] - place[0])
    at = 0
    for begin, end in sorted(places):
        if begin != at:
            raise _unsound(path, "its tensors overlap or leave gaps")
        at = end
    if at != size - 8 - length:
        raise _unsound(path, "its tensors end before or after the file")
    return found


def files(folder: Path) -> Iterator[str]:
    """Names of the files in the folder, relative, sorted; hidden folders (a downloader's notes) left out."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in relative.parts[:-1]):
            yield relative.as_posix()


def check(folder: Path, precision: str) -> str:
    """One sentence on what the folder holds. Raises `ConfigurationError` for anything that is not sound safetensors of this precision."""
    names = [name for name in files(folder) if name != "manifest.json"]
    unwanted = [name for name in names if refused(name)]
    if unwanted:
        raise ConfigurationError(
            f"{folder} holds {unwanted[0]}, which is no safetensors file and may run code when it is loaded; remove it"
        )
    shards = [name for name in names if name.endswith(".safetensors")]
    if not shards:
        raise ConfigurationError(f"{folder} holds no safetensors file")
    weights = Counter[str]()
    for shard in shards:
        for dtype, size in header(folder / shard).values():
            weights[dtype] += size
    main = weights.most_common(1)[0][0] if weights else "none"
    if main not in _DTYPES.get(precision, {main}):
        raise ConfigurationError(f"{folder} holds mostly {main} tensors, where the registry says {precision}")
    return f"{len(shards)} safetensors file{'s' if len(shards) > 1 else ''}, {weights.total() / (1 << 30):.2f} GiB, mostly {main}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _place(entry: Any) -> tuple[int, int] | None:
    """Begin and end of a tensor, None where the entry is not sound."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        return None
    dtype, shape, place = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS or not _counts(shape) or not _counts(place) or len(place) != 2:  # noqa: PLR2004
        return None
    begin, end = place
    return (begin, end) if end - begin == math.prod(shape) * _BITS[dtype] // 8 else None


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 50 for n in value)


def _unsound(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(f"{path.name} is no sound safetensors file: {why}")
