"""Ways to damage a file, each a function of the bytes, of chance and of the other seeds; the same chance gives the same bytes."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Mapping

Mutation = Callable[[bytes, random.Random, Mapping[str, bytes]], bytes]
LARGEST = 400_000
"""Bytes that a damaged file may have: small ones are tried faster."""

_HOSTILE = [-1, 0, 1, 2, 7, 8, 127, 128, 255, 256, 32_767, 65_535, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, -(2**31), 2**63, 10**20]
_NUMBER = re.compile(rb"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])")
_OBJECT = re.compile(rb"\d+ \d+ obj\b.*?endobj\s", re.DOTALL)
_REFERENCE = re.compile(rb"\d+ 0 R\b")
_NAME = re.compile(rb"/[A-Za-z][A-Za-z0-9]*")
_HEADER = 512  # where most formats say how large they are


def flip_bits(data: bytes, chance: random.Random, others: Mapping[str, bytes]) -> bytes:
    """Up to sixteen bits turned over."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 16)):
        out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
    return bytes(out)


def damage_header(data: bytes, chance: random.Random, others: Mapping[str, bytes]) -> bytes:
    """Up to four bytes replaced near the beginning."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        out[chance.randrange(min(len(out), _HEADER))] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, chance.randrange(256)))
    return bytes(out)


def hostile_integer(data: bytes, chance: random.Random, others: Mapping[str, bytes]) -> bytes:
    """A binary field of two, four or eight bytes set to an extreme: sizes, offsets and counts of TIFF, EXIF, HEIF, BMP."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        form = chance.choice("HIQ")
        size = struct.calcsize(form)
        end = min(len(out), chance.choice((64, _HEADER, len(out)))) - size
        if end > 0:
            value = chance.choice((*_HOSTILE, len(data), len(data) - 1, chance.randrange(len(data)))) % (1 << 8 * size)
            struct.pack_into(chance.choice("<>") + form, out, chance.randint(0, end), value)
    return bytes(out)


def tiff_tag(data: bytes, chance: random.Random, others: Mapping[str, bytes]) -> bytes:
    """A tag's kind, type, count or value changed, or the next directory's place, in a TIFF or in the EXIF of another picture."""
    begin = next((data.find(mark) for mark in (b"II*\x00", b"MM\x00*") if mark in data), -1)
    if begin < 0 or begin + 8 > len(data):
        return hostile_integer(data, chance, others)
    order = "<" if data[begin : begin + 2] == b"II" else ">"
    [first] = struct.unpack_from(order + "I", data, begin + 4)
    place = begin + first
    if place + 2 > len(data):
        return hostile_integer(data, chance, others)
    [entries] = struct.unpack_from(order + "H", data, place)
    out = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        entry = place + 2 + 12 * chance.randint(0, entries)  # the last is the next directory's place
        offset, form = chance.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I")))
        if entry + offset + 4 <= len(out):
            value = chance.choice((*_HOSTILE, first, len(data), chance.randint(254, 340))) % (1 << (16 if form == "H" else 32))
            struct.pack_into(order + form, out, entry + offset, value)
    return bytes(out)


def truncate(data: bytes, chance: random.Random, others: Mapping[str, bytes]) -> bytes:
    """Only the beginning, or only the end."""
    at = chance.randrange(len(data))
    return data[:at] if chance.random() < 0.8 else data[at:]


def swap_blocks(data: bytes, chance: random.Random, others: Mapping[str, bytes]) -> bytes:
    """Two pieces change places."""
    a, b, c, d = sorted(chance.randint(0, len(data)) for _ in range(4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def repeat_or_drop(data: bytes, chance: random.Random, others: Mapping[str, bytes]) -> bytes:
    """A piece again and again, or not at all."""
    a = chance.randint(0, len(data))
    b = min(len(data), a + chance.choice((1, 4, 16, 256, 4096)))
    return data[:a] + data[a:b] * chance.choice((0, 0, 2, 3, 50)) + data[b:]


def splice(data: bytes, chance: random.Random, others: Mapping[str, bytes]) -> bytes:
    """The beginning of this file and the end of another, or another inside this one."""
    other = others[chance.choice(sorted(others))]
    at, cut = chance.randint(0, len(data)), chance.randint(0, len(other))
    return data[:at] + other[cut:] + (data[at:] if chance.random() < 0.5 else b"")


def hostile_number(data: bytes, chance: random.Random, others: Mapping[str, bytes]) -> bytes:
    """Numbers written in letters, as in a PDF's dictionaries, set to extremes."""
    value = b"%d" % chance.choice(_HOSTILE) if chance.random() < 0.9 else chance.choice((b"1e308", b".", b"-.0000001", b"null", b"9" * 400))
    return _replace(_NUMBER, data, chance, value)


def another_reference(data: bytes, chance: random.Random, others: Mapping[str, bytes]) -> bytes:
    """A PDF's reference leads elsewhere: to itself, to its parent, to nothing."""
    return _replace(_REFERENCE, data, chance, b"%d 0 R" % chance.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 99_999, chance.randint(1, 30))))


def another_name(data: bytes, chance: random.Random, others: Mapping[str, bytes]) -> bytes:
    """A PDF's key or value by another of its names."""
    names = _NAME.findall(data)
    return _replace(_NAME, data, chance, chance.choice(names)) if names else flip_bits(data, chance, others)


def shuffle_objects(data: bytes, chance: random.Random, others: Mapping[str, bytes]) -> bytes:
    """An object of a PDF twice, gone, or with another's body."""
    found = list(_OBJECT.finditer(data))
    if not found:
        return swap_blocks(data, chance, others)
    one, two = chance.choice(found), chance.choice(found)
    body = chance.choice((b"", one[0] * 2, two[0], one[0].split(b"obj", 1)[0] + b"obj" + two[0].split(b"obj", 1)[1]))
    return data[: one.start()] + body + data[one.end() :]


def nest(data: bytes, chance: random.Random, others: Mapping[str, bytes]) -> bytes:
    """Brackets within brackets where a PDF's value stood."""
    depth = chance.choice((10, 500, 20_000))
    return _replace(_NUMBER, data, chance, chance.choice((b"[", b"<<", b"<</A ", b"(", b"[[]")) * depth)


ALL: tuple[Mutation, ...] = (
    flip_bits, damage_header, hostile_integer, tiff_tag, truncate, swap_blocks, repeat_or_drop, splice,
    hostile_number, another_reference, another_name, shuffle_objects, nest,
)  # fmt: skip
FOR_PICTURES: tuple[Mutation, ...] = ALL[:8]


def damaged(data: bytes, chance: random.Random, others: Mapping[str, bytes]) -> tuple[bytes, list[str]]:
    """One to four mutations on end, and their names."""
    kinds = ALL if b"%PDF-" in data[:1024] else FOR_PICTURES
    names = []
    for _ in range(chance.choice((1, 1, 2, 3, 4))):
        if not data:
            break
        mutation = chance.choice(kinds)
        data = mutation(data, chance, others)[:LARGEST]
        names.append(mutation.__name__)
    return data, names


def _replace(pattern: re.Pattern[bytes], data: bytes, chance: random.Random, value: bytes) -> bytes:
    """One to three matches replaced by `value`."""
    found = list(pattern.finditer(data))
    for match in sorted(chance.sample(found, min(len(found), chance.randint(1, 3))), key=lambda m: -m.start()):
        data = data[: match.start()] + value + data[match.end() :]
    return data
