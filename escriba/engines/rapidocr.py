"""CPU OCR by RapidOCR (PP-OCR models on ONNX Runtime, carried in its wheel): the default where nothing may be installed as root."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np
from pydantic import BaseModel, ConfigDict

from escriba.document import BoundingBox, Line, Word
from escriba.errors import EngineRejected
from escriba.layout.paragraphs import blocks_from_lines
from escriba.policy import Policy
from escriba.ports import PageSource, Reading


class Options(BaseModel):
    """How the models are run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detection_side: int = 960
    """Pixels to which the longer side is scaled for finding lines."""
    threads: int = 1


class RapidOcr:
    """Implements `ports.Engine`."""

    name = "rapidocr"
    version = f"rapidocr-{version('rapidocr')}"

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or Options()
        self._models: Any = None

    def read(self, pages: Sequence[PageSource], policy: Policy) -> list[Reading | EngineRejected]:
        """Each page rendered at the policy's resolution, as paragraphs of lines of words with boxes and confidences."""
        return [Reading(blocks_from_lines(self.lines(page, policy), page.width)) for page in pages]

    def lines(self, page: PageSource, policy: Policy) -> list[Line]:
        """The page's lines as the models find them, from top to bottom."""
        image = page.image(policy.ocr.dpi)
        height, width = image.shape[:2]
        # The models know blue, green, red; a mere view would be copied whole for each line cut out of it.
        result = self._loaded()(np.ascontiguousarray(image[:, :, ::-1]), use_cls=False, return_word_box=True)
        if result.txts is None:
            return []
        scale = (page.width / width, page.height / height)
        return [
            Line(_box(quad, scale), words)
            for text, quad, found in zip(result.txts, result.boxes, result.word_results, strict=True)
            if (words := _words(text, found, _box(quad, scale), scale))
        ]

    def _loaded(self) -> Any:
        if self._models is None:
            from rapidocr import RapidOCR  # noqa: PLC0415  (a second and 200 MB: only when a page needs it)

            self._models = RapidOCR(
                params={
                    "Global.log_level": "critical",
                    # Its line classifier turns good lines upside down.
                    "Global.use_cls": False,
                    "Det.limit_type": "max",
                    "Det.limit_side_len": self._options.detection_side,
                    "Rec.rec_batch_num": 1,
                    "EngineConfig.onnxruntime.intra_op_num_threads": self._options.threads,
                    "EngineConfig.onnxruntime.inter_op_num_threads": self._options.threads,
                }
            )
        return self._models


def _box(quad: Any, scale: tuple[float, float]) -> BoundingBox:
    xs, ys = [float(x) * scale[0] for x, _ in quad], [float(y) * scale[1] for _, y in quad]
    return BoundingBox(round(min(xs), 2), round(min(ys), 2), round(max(xs), 2), round(max(ys), 2))


def _words(text: str, found: Any, line: BoundingBox, scale: tuple[float, float]) -> tuple[Word, ...]:
    """The line's words between spaces; the models part them finer (each Chinese character alone), so their boxes are joined."""
    pieces = [(piece, float(score), _box(quad, scale)) for piece, score, quad in found or () if piece.strip()]
    words: list[Word] = []
    for token in text.split():
        length, box, weighted = 0, None, 0.0
        while pieces and length < len(token):
            piece, score, piece_box = pieces.pop(0)
            length += len(piece)
            weighted += score * len(piece)
            box = piece_box if box is None else BoundingBox.around((box, piece_box))
        if box is not None:
            words.append(Word(token, box, round(weighted / length, 4)))
        elif words:
            # The models gave fewer boxes than words: the text must not be lost.
            last = words.pop()
            words.append(Word(f"{last.text} {token}", last.box, last.confidence))
    return _reaching(words, line)


def _reaching(words: list[Word], line: BoundingBox) -> tuple[Word, ...]:
    """The words, the first and the last reaching the ends of their line: the models begin a word in the middle of its first letter."""
    if not words:
        return ()
    first = words[0].box
    words[0] = msgspec.structs.replace(words[0], box=msgspec.structs.replace(first, x0=min(first.x0, line.x0)))
    last = words[-1].box
    words[-1] = msgspec.structs.replace(words[-1], box=msgspec.structs.replace(last, x1=max(last.x1, line.x1)))
    return tuple(words)
