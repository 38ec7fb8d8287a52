"""What the pipeline is measured beside, each a small program of its own: `python -m bench.peers NAME FILE...`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path


def rapidocr(files: list[Path]) -> None:
    """RapidOCR as our engine sets it up, one image after the other."""
    import cv2  # noqa: PLC0415
    from rapidocr import RapidOCR  # noqa: PLC0415

    engine = RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Det.limit_type": "max",
            "Det.limit_side_len": 960,
            "Rec.rec_batch_num": 1,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
    for file in files:
        engine(cv2.imread(str(file)), use_cls=False, return_word_box=True)


def get_text(files: list[Path]) -> None:
    """PyMuPDF's own text extraction, nothing made of it."""
    import pymupdf  # noqa: PLC0415

    for file in files:
        with pymupdf.open(file) as document:
            for page in document:
                page.get_text("dict")


def kreuzberg(files: list[Path]) -> None:
    """Kreuzberg, to Markdown, without OCR."""
    from kreuzberg import ExtractionConfig, extract_file_sync  # noqa: PLC0415

    config = ExtractionConfig(output_format="markdown", disable_ocr=True)
    for file in files:
        extract_file_sync(str(file), config=config)


def in_memory(files: list[Path]) -> None:
    """Our pipeline on its in-memory adapters: every stage and the reader's process, without the embedded AWS."""
    from escriba.isolation import IsolatedReader  # noqa: PLC0415
    from escriba.local.in_memory import InMemoryPipeline  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as name, closing(IsolatedReader()) as reader:
        pipeline = InMemoryPipeline(reader=reader, scratch=Path(name))
        for file in files:
            pipeline.upload(file.name, file.read_bytes())
        pipeline.run()


PEERS: dict[str, Callable[[list[Path]], None]] = {
    "rapidocr": rapidocr,
    "get_text": get_text,
    "kreuzberg": kreuzberg,
    "in_memory": in_memory,
}

if __name__ == "__main__":
    PEERS[sys.argv[1]]([Path(name) for name in sys.argv[2:]])
