"""The documents that both sides read: the examples, and one for each end that a document can have."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from escriba.policy import Ocr, Policy
from tests.documents import DIE, EXAMPLES, orders_pdf, picture, text_pdf

POLICY = Policy(name="second-opinion", ocr=Ocr(engine="rapidocr"))
"""One engine that reads the same everywhere, whatever Tesseract data the machine has."""
OBEDIENT = Policy(name="obedient", ocr=Ocr(engine="obedient", min_confidence=0.0))
_UNKNOWN = Policy(name="never-deployed", ocr=Ocr(engine="rapidocr"))
STRAY = "this is no event"
"""The body of a message that no function can read: SQS itself must bring it to the dead letters."""


@dataclass(frozen=True)
class Upload:
    """A file, and the policy whose name stands in its key."""

    path: Path
    policy: Policy

    @property
    def label(self) -> str:
        """Its name in the table."""
        return self.path.name


def make_corpus(directory: Path) -> list[Upload]:
    """Write the documents; file stems are unique, for each has a folder of results."""
    directory.mkdir(parents=True)
    for name in ("digitalizacao.pdf", "mixed.pdf", "recibo.jpg", "report.pdf"):
        shutil.copy(EXAMPLES / name, directory)
    # Two packets of pages; a key that is no plain ASCII; the same bytes twice; no document at all.
    (directory / "sixty pages.pdf").write_bytes(text_pdf(*(f"Page number {number}" for number in range(1, 61))))
    (directory / "relatório nº 1 (cópia) + ãé.png").write_bytes(picture("Total 1,500 EUR"))
    shutil.copy(directory / "mixed.pdf", directory / "mixed-again.pdf")
    (directory / "rejected.txt").write_text("neither a PDF nor a picture\n")
    (directory / "unknown-policy.pdf").write_bytes(text_pdf("Nobody knows how to read me"))
    # Its second page kills its reader each time: three failures, the dead letters, the rest delivered.
    (directory / "one-page-fails.pdf").write_bytes(orders_pdf([0, DIE, 0]))
    special = {"one-page-fails.pdf": OBEDIENT, "unknown-policy.pdf": _UNKNOWN}
    return [Upload(path, special.get(path.name, POLICY)) for path in sorted(directory.iterdir())]
