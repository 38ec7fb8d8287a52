"""Scores a reader's outputs document by document and keeps them as scores.json beside the outputs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from escriba.errors import ConfigurationError
from escriba.evaluation.facts import FactScore, score_facts
from escriba.evaluation.readings import Reading
from escriba.evaluation.split import Half, document_of
from escriba.evaluation.tables import TableScore, score_tables
from escriba.evaluation.texts import DigitalScore, ScanScore, score_digital, score_scan
from escriba.evaluation.truths import Truth
from escriba.topology import TOPOLOGY

SCORES = "scores.json"
LAMBDA_USD_PER_GB_SECOND = 0.0000166667
"""What AWS's price list asked for a Lambda function on x86 in US East (N. Virginia), first price tier, in 2024. Look before you budget."""
READER_GB = next(f.memory for f in TOPOLOGY.functions if f.name == "recognise_pages") / 1024


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """One document: what it is, how its reading ended, and the scores for which it has a truth.

    `name` is its path in the folder of truths, `output` its outputs' name in the reader's folder ("" when there are none), `seconds` the
    time spent on its pages as the ledger has it (None for other programs' outputs). `read_tables` counts what was found, true or not.
    """

    name: str
    kind: str
    half: Half
    picture: bool
    output: str
    state: str = ""
    reason: str = ""
    pages: int = 0
    seconds: float | None = None
    scan: ScanScore | None = None
    digital: DigitalScore | None = None
    tables: tuple[TableScore, ...] | None = None
    read_tables: int = 0
    tables_complete: bool = True
    facts: FactScore | None = None

    @property
    def document(self) -> str:
        """The document that this page belongs to: the unit of every interval and test."""
        return document_name(self.name)

    @property
    def seconds_a_page(self) -> float | None:
        """None where no time or no page is known."""
        return self.seconds / self.pages if self.seconds is not None and self.pages else None

    @property
    def usd_per_1000_pages(self) -> float | None:
        """Seconds a page x the reading function's memory x Lambda's price."""
        return None if self.seconds_a_page is None else 1000 * self.seconds_a_page * READER_GB * LAMBDA_USD_PER_GB_SECOND


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """All of a reader's rows. `data` is the folder of truths, `outputs` that of the outputs."""

    schema_version: int = 1
    reader: str
    data: str
    outputs: str
    rows: tuple[Scored, ...]


def document_name(name: str) -> str:
    """The document that a page belongs to, by the page's path in the folder of truths."""
    path = Path(name)
    return (path.parent / document_of(path.stem)).as_posix()


def score_document(truth: Truth, folder: Path, name: str, *, state: str = "", reason: str = "") -> Scored:
    """Score the outputs called `name` in a folder; what is missing counts as empty. Raises `ConfigurationError` for a broken truth."""
    reading, text, tables, facts = Reading(folder, name), truth.text(), truth.tables(), truth.facts()
    read = (reading.text(picture=truth.picture) or "") if text is not None else ""
    found = (reading.tables() or []) if tables is not None else []
    pages, seconds = reading.usage() or (0, None)
    return Scored(
        name=truth.name,
        kind=truth.kind,
        half=truth.half,
        picture=truth.picture,
        output=name if reading.found else "",
        state=state,
        reason=reason,
        pages=pages,
        seconds=seconds,
        scan=score_scan(text, read, fold=truth.fold) if text is not None and truth.picture else None,
        digital=score_digital(text, read) if text is not None and not truth.picture else None,
        tables=score_tables(found, tables[0], complete=tables[1]) if tables is not None else None,
        read_tables=len(found),
        tables_complete=tables is None or tables[1],
        facts=score_facts(facts, reading.page) if facts is not None else None,
    )


def score_folder(truths: Iterable[Truth], data: Path, outputs: Path, reader: str) -> Scores:
    """Score a folder of outputs made elsewhere; they may lie in subfolders like the documents'. Raises `ConfigurationError`."""
    rows = []
    for truth in truths:
        places = [outputs / Path(truth.name).parent, outputs]
        folder = next((place for place in places if Reading(place, truth.stem).found), outputs)
        row = score_document(truth, folder, truth.stem)
        output = (folder / row.output).relative_to(outputs).as_posix() if row.output else ""
        rows.append(msgspec.structs.replace(row, output=output))
    return Scores(reader=reader, data=str(data.resolve()), outputs=str(outputs.resolve()), rows=tuple(rows))


def write_scores(scores: Scores, folder: Path) -> None:
    """Keep the scores as `folder/scores.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SCORES).write_bytes(msgspec.json.format(msgspec.json.encode(scores), indent=1) + b"\n")


def read_scores(folder: Path) -> Scores:
    """The scores kept in a folder. Raises `ConfigurationError` when there are none, or they cannot be read."""
    path = folder / SCORES
    try:
        return msgspec.json.decode(path.read_bytes(), type=Scores)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigurationError(f"{folder} holds no {SCORES}; name a folder OUT/<reader> that escriba eval run has written") from None
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}; run escriba eval run again") from None
