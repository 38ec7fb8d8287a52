"""CPU OCR by Tesseract 5 (tesserocr): a third of RapidOCR's time, exact on clean print, helpless on noise; needs data for each language."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tesserocr

from escriba.document import Block, BoundingBox, Line, Word
from escriba.errors import EngineMissing, EngineRejected
from escriba.layout.guided_order import COLUMNAR, share_in_columns
from escriba.layout.paragraphs import blocks_in_order, paragraph
from escriba.layout.reading_order import reading_order
from escriba.layout.skew import carried_back, skew, turned
from escriba.policy import Policy
from escriba.ports import PageSource, Reading

_USUAL = ("/usr/share/tesseract-ocr/*/tessdata", "/usr/share/tessdata", "/usr/local/share/tessdata", "/opt/homebrew/share/tessdata")
_FEW = 20  # characters: what Tesseract says of its confidence in so few is not worth believing
_LEANING = 0.7  # degrees from which a picture is turned straight before it is read
_WEAK = 0.75  # confidence below which a cleaned picture is tried
_ORIENTED = 0.5  # its orientation detection errs below 10: from here on the turned page is read too, and that reading decides
_UPRIGHT = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def data_folder(languages: Sequence[str]) -> Path | None:
    """The first folder that holds data for all the languages: TESSDATA_PREFIX, this environment's own, the system's."""
    named = os.environ.get("TESSDATA_PREFIX", "")
    folders = [Path(named), Path(named, "tessdata")] if named else []
    folders.append(Path(sys.prefix, "share", "tessdata"))
    folders += [path for pattern in _USUAL for path in sorted(Path("/").glob(pattern[1:]), reverse=True)]
    return next((folder for folder in folders if all((folder / f"{language}.traineddata").is_file() for language in languages)), None)


class Tesseract:
    """Implements `ports.Engine`."""

    name = "tesseract"
    version = f"tesserocr-{version('tesserocr')}"

    def __init__(self) -> None:
        self._apis: dict[tuple[str, ...], Any] = {}

    @staticmethod
    def check(policy: Policy) -> None:
        """Raises `EngineMissing` when this machine has no data for the policy's languages."""
        if data_folder(policy.languages) is not None:
            return
        absent = [language for language in policy.languages if data_folder([language]) is None] or policy.languages
        names = ", ".join(absent)
        raise EngineMissing(
            f"Tesseract has no data for {names}; install it (Debian: tesseract-ocr-{absent[0]}) or put {absent[0]}.traineddata into a folder, "
            "beside those of the other languages, and name it in TESSDATA_PREFIX"
        )

    def read(self, pages: Sequence[PageSource], policy: Policy) -> list[Reading | EngineRejected]:
        """Each page rendered at the policy's resolution: paragraphs in reading order, with boxes and confidences."""
        self.check(policy)
        return [Reading(self.blocks(page, policy)) for page in pages]

    def blocks(self, page: PageSource, policy: Policy) -> tuple[Block, ...]:
        """One page's paragraphs."""
        gray = cv2.cvtColor(page.image(policy.ocr.dpi), cv2.COLOR_RGB2GRAY)
        dpi = round(72 * gray.shape[1] / page.width)
        scale = page.width / gray.shape[1], page.height / gray.shape[0]
        lean = skew(gray)
        straight, back = turned(gray, lean) if abs(lean) >= _LEANING else (gray, _UPRIGHT)
        paragraphs = self._recognise(straight, dpi, policy)
        if _confidence(paragraphs) < _WEAK:
            # Speckles and grey paper drown its own thresholding; on a clean page the same medicine does harm.
            paragraphs = max(paragraphs, self._recognise(cv2.medianBlur(straight, 3), dpi, policy), key=_worth)
        return _ordered([[_line(line, back, scale) for line in lines] for lines in paragraphs], page.width)

    def _recognise(self, gray: Any, dpi: int, policy: Policy) -> list[list[list[_Found]]]:
        """Paragraphs of lines of words on the picture."""
        api = self._loaded(policy)
        height, width = gray.shape
        api.SetImageBytes(np.ascontiguousarray(gray).tobytes(), width, height, 1, width)
        api.SetSourceResolution(min(max(dpi, 70), 2400))
        api.Recognize()
        paragraphs: list[list[list[_Found]]] = []
        for word in _words(api):
            if word.IsAtBeginningOf(tesserocr.RIL.PARA) or not paragraphs:
                paragraphs.append([])
            if word.IsAtBeginningOf(tesserocr.RIL.TEXTLINE) or not paragraphs[-1]:
                paragraphs[-1].append([])
            text = word.GetUTF8Text(tesserocr.RIL.WORD).strip()
            if text:
                paragraphs[-1][-1].append((text, word.Confidence(tesserocr.RIL.WORD) / 100, word.BoundingBox(tesserocr.RIL.WORD)))
        api.Clear()
        kept = [[line for line in lines if line] for lines in paragraphs]
        return [lines for lines in kept if lines]

    def _loaded(self, policy: Policy) -> Any:
        if policy.languages not in self._apis:
            folder, languages = data_folder(policy.languages), "+".join(policy.languages)
            self._apis[policy.languages] = tesserocr.PyTessBaseAPI(
                path=f"{folder}/", lang=languages, psm=tesserocr.PSM.AUTO, oem=tesserocr.OEM.LSTM_ONLY
            )
        return self._apis[policy.languages]


def orientation(rgb: Any) -> int:
    """Degrees (0, 90, 180, 270) by which to turn a picture clockwise so that its text stands upright; 0 when that is not clear, or unknown."""
    folder = data_folder(["osd"])
    if folder is None:
        return 0
    gray = np.ascontiguousarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    height, width = gray.shape
    with tesserocr.PyTessBaseAPI(path=f"{folder}/", lang="osd", psm=tesserocr.PSM.OSD_ONLY) as api:
        api.SetImageBytes(gray.tobytes(), width, height, 1, width)
        found = api.DetectOrientationScript()
    return (360 - found["orient_deg"]) % 360 if found and found["orient_conf"] >= _ORIENTED else 0


_Found = tuple[str, float, tuple[int, int, int, int]]


def _words(api: Any) -> Iterator[Any]:
    found = api.GetIterator()
    if found is not None:
        for word in tesserocr.iterate_level(found, tesserocr.RIL.WORD):
            if not word.Empty(tesserocr.RIL.WORD):
                yield word


def _line(words: list[_Found], back: Any, scale: tuple[float, float]) -> Line:
    return Line.of(Word(text, _box(carried_back(box, back), scale), round(confidence, 4)) for text, confidence, box in words)


def _ordered(paragraphs: list[list[Line]], width: float) -> tuple[Block, ...]:
    """Tesseract's own paragraphs where they run in columns or as they stand; forms and tables, which it reads by blocks, row by row."""
    lines = [line for paragraph_ in paragraphs for line in paragraph_]
    by_rows = [lines[i] for i in reading_order([line.box for line in lines])]
    if by_rows == lines or share_in_columns(lines) >= COLUMNAR:
        return tuple(paragraph(group) for group in paragraphs)
    return blocks_in_order(by_rows, width)


def _box(pixels: tuple[float, float, float, float], scale: tuple[float, float]) -> BoundingBox:
    x0, y0, x1, y1 = pixels
    return BoundingBox(round(x0 * scale[0], 2), round(y0 * scale[1], 2), round(x1 * scale[0], 2), round(y1 * scale[1], 2))


def _worth(paragraphs: list[list[list[_Found]]]) -> float:
    """Characters read, each by its confidence."""
    return sum(len(text) * confidence for lines in paragraphs for line in lines for text, confidence, _ in line)


def _confidence(paragraphs: list[list[list[_Found]]]) -> float:
    """Mean over characters; 0 for almost none."""
    length = sum(len(text) for lines in paragraphs for line in lines for text, _, _ in line)
    return _worth(paragraphs) / length if length >= _FEW else 0.0
