"""Pages for a vision model to read: drawn, put into a deployment unsent, and sent when the clock starts."""

from __future__ import annotations

import io
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pymupdf
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from escriba.backends import OURS
from escriba.engines.exchange import request
from escriba.isolation import IsolatedReader
from escriba.models import model
from escriba.policy import parse_policy
from escriba.ports import Queue
from escriba.vision import Question
from tests.gpu.world import World

MODEL = "olmocr-2-7b-fp8"
WIDTH, HEIGHT = 784, 1288
"""Pixels of the picture that the model is shown: one megapixel, in whole tokens of 28 x 28; the longer side is what the registry has for `MODEL`."""
TOKENS = 256  # of every answer
POLICY = parse_policy(f"[vision]\nattempts = 1\nmax_tokens = {TOKENS}\ndeadline_seconds = 3600\ncrops = false")
_TOGETHER = 10  # messages of one request


def a_page(seed: int) -> bytes:
    """A PDF of one page that is a scan: lines of made-up words on paper with a grain."""
    chance = random.Random(seed)  # noqa: S311  (repeatable)
    picture = Image.new("L", (WIDTH, HEIGHT), 244)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
    for line in range(60, HEIGHT - 60, 24):
        words = ["".join(chance.choices("aeiounrstlmdpcbg", k=chance.randint(2, 10))) for _ in range(14)]
        pen.text((48, line), " ".join(words)[: chance.randint(60, 96)], 40, font)
    grain = Image.frombytes("L", (WIDTH, HEIGHT), chance.randbytes(WIDTH * HEIGHT)).filter(ImageFilter.GaussianBlur(1))
    packed = io.BytesIO()
    Image.blend(picture, grain, 0.08).save(packed, "JPEG", quality=70)
    with pymupdf.open() as document:
        page = document.new_page(width=WIDTH * 0.6, height=HEIGHT * 0.6)
        page.insert_image(page.rect, stream=packed.getvalue())
        return bytes(document.tobytes(no_new_id=True))


def requests(pictures: Sequence[bytes], side: int, tokens: int = TOKENS) -> list[bytes]:
    """What a worker would send for these pages, their longer side of so many pixels, for answers of so many tokens."""
    entry, reader, bodies = model(MODEL), IsolatedReader(), []
    with tempfile.TemporaryDirectory() as name:
        for n, picture in enumerate(pictures):
            path = Path(name) / f"{n}.pdf"
            path.write_bytes(picture)
            shown = reader.render(path, POLICY, 1, side)
            question = Question(
                model=MODEL,
                prompt=entry.prompt,
                image=shown.image,
                pixels=shown.width * shown.height,
                max_tokens=tokens,
                temperature=entry.sampling.temperature,
                sampling={"top_p": entry.sampling.top_p, **entry.sampling.extra},
            )
            bodies.append(msgspec.json.encode(request(question, "max_tokens", "vllm")))
    reader.close()
    return bodies


@dataclass
class _Kept:
    """A queue that keeps what it is sent; everything else is the real one's."""

    queue: Queue
    bodies: list[str] = field(default_factory=list)

    def send(self, bodies: Sequence[str], *, delay: int = 0, tenant: str = "") -> None:
        self.bodies += bodies

    def __getattr__(self, name: str) -> Any:
        return getattr(self.queue, name)


@contextmanager
def _unsent(made: World) -> Iterator[_Kept]:
    ports, kept = made.ports, _Kept(made.ports.queues[OURS])
    made.ports = replace(ports, queues={**ports.queues, OURS: kept})
    try:
        yield kept
    finally:
        made.ports = ports


def put_unsent(made: World, pages: int, pictures: Sequence[bytes]) -> list[str]:
    """So many pages in as many documents as there are pictures, up to their messages to the vision queue, which are returned."""
    with _unsent(made) as kept:
        for n, picture in enumerate(pictures):
            if number := pages // len(pictures) + (n < pages % len(pictures)):
                made.put_hard_pages(number, policy=POLICY, file=picture)
    return kept.bodies


def send(made: World, bodies: Sequence[str]) -> float:
    """The messages, to the queue; when that was begun, on the monotonic clock that all processes share."""
    began = time.monotonic()
    for n in range(0, len(bodies), _TOGETHER):
        made.ports.queues[OURS].send(bodies[n : n + _TOGETHER])
    return began


def wait_until_read(made: World, seconds: float) -> None:
    """Until no message of theirs is left, and every page has ended. Raises TimeoutError.

    The queue alone is looked at meanwhile: asking for every document would take a part of the machine that is measured.
    """
    end = time.monotonic() + seconds
    while made.ports.queues[OURS].depth().total or made.waiting():
        if time.monotonic() > end:
            raise TimeoutError(f"{made.waiting()} pages are not read after {seconds:.0f} s")
        time.sleep(0.5)
