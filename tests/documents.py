"""Documents made for tests, and an engine that can be told to count, hang, die or devour memory."""

from __future__ import annotations

import io
import random
import sys
from pathlib import Path

import pymupdf
from PIL import Image, ImageDraw

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
DATA = ROOT.parent / "shared" / "data"

OBEDIENT_ENGINE = '''
import os, signal, time
from pathlib import Path
from escriba.document import Block, BoundingBox, Line, Word
from escriba.ports import Reading

class Obedient:
    """Reads the order written into a page's corner pixel: 1 die, 2 hang, 3 devour memory, 4 print, 5 fail, 6 leave; else read."""
    name = "obedient"
    version = "1"

    def read(self, pages, policy):
        return [Reading(self._read(page)) for page in pages]

    def _read(self, page):
        image = page.image(72)
        order = round(int(image[0, 0, 0]) / 20)
        if "OBEDIENT_LOG" in os.environ:
            with open(os.environ["OBEDIENT_LOG"], "a") as log:
                log.write(f"{int(image[0, 0, 1])} {order}\\n")
        time.sleep(float(os.environ.get("OBEDIENT_SECONDS", "0")))
        if order == 1: os.kill(os.getpid(), signal.SIGKILL)
        if order == 2: time.sleep(600)
        if order == 3: bytearray(64 << 30)
        if order == 4: print("secret text" * 1000)
        if order == 5: raise ValueError("secret text")
        if order == 6: os._exit(3)
        if image.min() == 255: return ()
        box = BoundingBox(1, 1, page.width - 1, 11)
        shade = int(image[0, 0, 1])
        return (Block(kind="paragraph", box=box, lines=(Line(box, (Word(f"shade-{shade}", box, 0.95),)),), font_size=10),)
'''
DIE, HANG, DEVOUR, PRINT, FAIL, LEAVE = 1, 2, 3, 4, 5, 6


def install_obedient(directory: Path) -> Path:
    """Put the engine into a directory as an installed distribution would stand there; returns what to put on the path."""
    (directory / "obedient_engine.py").write_text(OBEDIENT_ENGINE)
    info = directory / "obedient-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: obedient\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[escriba.engines]\nobedient = obedient_engine:Obedient\n")
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    return directory


def orders_pdf(orders: list[int]) -> bytes:
    """A PDF of image-only pages, each with an order for the obedient engine and a shade of its own."""
    document = pymupdf.open()
    for number, order in enumerate(orders, start=1):
        page = document.new_page(width=100, height=100)
        image = Image.new("RGB", (20, 20), (order * 20, number % 250, 0))
        out = io.BytesIO()
        image.save(out, "PNG")
        page.insert_image(page.rect, stream=out.getvalue())
    return bytes(document.tobytes())


def text_pdf(*texts: str, size: float = 11) -> bytes:
    """A born-digital PDF, one text a page."""
    document = pymupdf.open()
    for text in texts:
        document.new_page().insert_text((72, 72), text, fontsize=size)
    return bytes(document.tobytes())


def picture(text: str, kind: str = "PNG", size: tuple[int, int] = (600, 200), **options: object) -> bytes:
    """A picture of a line of text."""
    document = pymupdf.open()
    page = document.new_page(width=size[0] / 2, height=size[1] / 2)
    page.insert_text((20, size[1] / 4), text, fontsize=18)
    pixmap = page.get_pixmap(dpi=144)
    out = io.BytesIO()
    Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples).save(out, kind, **options)
    return out.getvalue()


def scribbles(seed: int) -> bytes:
    """A picture full of strokes in which OCR finds no word."""
    chance, image = random.Random(seed), Image.new("L", (600, 800), 255)
    pen = ImageDraw.Draw(image)
    for _ in range(60):
        start = (chance.randrange(600), chance.randrange(800))
        pen.arc((*start, start[0] + chance.randrange(40, 200), start[1] + chance.randrange(40, 200)), 0, chance.randrange(90, 360), 60, 5)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
