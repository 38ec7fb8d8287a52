"""An invoice that CPU OCR has read, and what the guards make of an answer about it."""

from __future__ import annotations

from escriba.document import Block, BoundingBox, Line, Word
from escriba.guards.acceptance import judge
from escriba.policy import Policy
from escriba.vision import Answer, FinishReason, Parsed, Region, Said, Verdict

INVOICE = """Padaria Central do Alentejo, Lda.
Rua das Flores 118, 7000-512 Évora
Contribuinte 509 882 741
Fatura FT 2024/1187 emitida em 03/11/2024
Pão de centeio 24 unidades 36,48
Broa de milho 15 unidades 41,25
Farinha de trigo tipo 65 saco de 25 kg 18,90
Fermento fresco 6 embalagens 9,72
Total sem imposto 106,35
Imposto à taxa de 6 por cento 6,38
Total a pagar 112,73
Obrigado pela sua preferência e volte sempre
Documento processado por computador"""
PROMPT = "Transcribe the page exactly as it stands and write every table as HTML, without a word of your own."
BOX = BoundingBox(0, 0, 400, 10)
WHOLE = Region("low_confidence")


def read(text: str, confidence: float = 0.9995, *, unsure: dict[str, float] | None = None) -> tuple[Block, ...]:
    """What CPU OCR made of a page, each word with a confidence."""
    lines = [
        Line(BOX, tuple(Word(word, BOX, (unsure or {}).get(word, confidence)) for word in line.split()))
        for line in text.split("\n")
        if line.strip()
    ]
    return (Block("paragraph", BOX, tuple(lines)),) if lines else ()


def verdict(
    said: str | tuple[Said, ...] | None,
    cpu: tuple[Block, ...] | str = INVOICE,
    *,
    ink: float = 0.08,
    finish: FinishReason = "stop",
    prompt: str = PROMPT,
    region: Region = WHOLE,
    policy: Policy | None = None,
    **answer: int,
) -> Verdict:
    pieces = (Said("paragraph", said),) if isinstance(said, str) else said
    text = "" if pieces is None else "\n".join(piece.html or piece.text for piece in pieces)
    blocks = read(cpu) if isinstance(cpu, str) else cpu
    return judge(
        Answer(text=text, finish=finish, model="m", **answer),
        None if pieces is None else Parsed(pieces),
        blocks,
        ink=ink,
        region=region,
        prompt=prompt,
        policy=policy or Policy(),
    )
