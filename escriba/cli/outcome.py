"""What a run came to: results copied to folders, the table, the JSON lines, the report."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from escriba.cli.wording import a_few, some
from escriba.document import Document
from escriba.errors import EscribaError
from escriba.formats.report import ReportPage, report_html
from escriba.ledger import DocumentRow, PagesRow
from escriba.local.pipeline import LocalPipeline
from escriba.policy import Policy
from escriba.ports import ObjectStore
from escriba.stages.scratch import fetch

SEARCHABLE = "document.pdf"
_PICTURES = 200
_PICTURE_PIXELS = 900
PIPED_WIDTH = 120
_ROUTES = {"text_layer": "text", "ocr": "OCR", "vision": "vision"}
_MOST_REASONS = 4
_MOST_NAMES = 3
_FIGURES = re.compile(r" \((?!HTTP )[^)]*\d[^)]*\)| for \d+ s$")  # an HTTP status is no measurement: it says what to mend


@dataclass(frozen=True)
class Result:
    """One input and how it ended; `output` is None when nothing was delivered."""

    path: Path
    state: str
    reason: str
    document: DocumentRow | None
    rows: tuple[PagesRow, ...]
    output: Path | None

    @property
    def seconds(self) -> float:
        """Time spent reading its pages."""
        return round(sum(row.seconds for row in self.rows), 2)

    @property
    def unsearchable(self) -> bool:
        """Whether it was delivered without its PDF, which could not be made."""
        return self.output is not None and not (self.output / SEARCHABLE).is_file()

    @property
    def confidence(self) -> float | None:
        """Mean over the pages that have one."""
        sure = [(row.confidence, row.pages) for row in self.rows if row.confidence is not None]
        return sum(c * n for c, n in sure) / sum(n for _, n in sure) if sure else None


class Picturable(NamedTuple):
    """Where a page can be drawn from: page `number` of an object in the results bucket."""

    object_key: str
    number: int
    policy: Policy


def deliver(pipeline: LocalPipeline, jobs: list[tuple[Path, str]], out: Path) -> list[Result]:
    """Copy each document's current outputs to `out/<stem>/`, made unique where inputs share a stem."""
    results, taken = [], set[Path]()
    for path, identity in jobs:
        job, document = pipeline.job(identity)
        rows: tuple[PagesRow, ...] = ()
        output = None
        if document is None:
            state, reason = "REJECTED", job.reason if job is not None else "the upload was never taken in"
        else:
            state, reason = document.state, document.reason
            rows = tuple(pipeline.ports.ledger.pages(document.document_id))
        if document is not None and document.current:
            output = deliver_to(out, path.name, document, pipeline.ports.results, taken)
            if state == "PARTIAL":
                reason = _lost(rows)
        results.append(Result(path, state, reason, document, rows, output))
    return results


def refresh(pipeline: LocalPipeline, documents: list[DocumentRow], out: Path) -> list[Result]:
    """Copy these documents' current outputs to every folder that holds earlier ones of theirs, or to one of their own."""
    results, taken = [], set[Path]()
    owned: dict[str, list[Path]] = {}
    for folder in sorted(path for path in out.iterdir() if path.is_dir()):
        owned.setdefault(_owner(folder), []).append(folder)
    for document in documents:
        rows = tuple(pipeline.ports.ledger.pages(document.document_id))
        output = None
        for folder in owned.get(document.document_id, ()):
            output = _fill(folder, document, pipeline.ports.results)
        if output is None and document.current:
            output = deliver_to(out, document.name, document, pipeline.ports.results, taken)
        reason = _lost(rows) if document.state == "PARTIAL" else document.reason
        results.append(Result(Path(document.name), document.state, reason, document, rows, output))
    return results


def _folder(out: Path, name: str, document_id: str, taken: set[Path]) -> Path:
    """`out/<name>`, or with a number behind it where that is another input's, of this run or an earlier one."""
    for number in itertools.count(1):
        folder = out / (name if number == 1 else f"{name}-{number}")
        if folder not in taken and not folder.is_file() and _owner(folder) in {"", document_id}:
            taken.add(folder)
            return folder
    raise AssertionError


def _owner(folder: Path) -> str:
    """The document whose outputs a folder holds, "" when it holds none."""
    try:
        return str(json.loads((folder / "usage.json").read_bytes())["document_id"])
    except (OSError, ValueError, KeyError):
        return ""


def is_delivered(out: Path, name: str, document: DocumentRow, results: ObjectStore, taken: set[Path]) -> bool:
    """Whether the folder that `deliver_to` would write to holds the document's current outputs, all of them; adds it to `taken`."""
    folder = _folder(out, stem(name), document.document_id, taken)
    try:
        revision = json.loads((folder / "usage.json").read_bytes())["revision"]
    except (OSError, ValueError, KeyError):
        return False
    names = (key.rpartition("/")[2] for key in results.keys(document.output_prefix))
    return bool(revision == document.current) and all((folder / one).is_file() for one in names)


def stem(name: str) -> str:
    """What the folder of a file's results is called, unless another file's is called so."""
    return Path(name).stem.lstrip(".") or "document"


def deliver_to(out: Path, name: str, document: DocumentRow, results: ObjectStore, taken: set[Path]) -> Path:
    """Copy a document's current outputs to a folder below `out` named after `name`; adds it to `taken`. Raises OSError."""
    return _fill(_folder(out, stem(name), document.document_id, taken), document, results)


def _fill(folder: Path, document: DocumentRow, results: ObjectStore) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    names = {key.rpartition("/")[2]: key for key in results.keys(document.output_prefix)}
    for name, key in names.items():
        results.download(key, folder / name)
    if SEARCHABLE not in names:
        # An earlier reading's, which is not this one's.
        (folder / SEARCHABLE).unlink(missing_ok=True)
    return folder


def _lost(rows: tuple[PagesRow, ...]) -> str:
    """Each reason once, with its pages."""
    pages: dict[str, list[str]] = {}
    for row in rows:
        if row.state == "QUARANTINED":
            pages.setdefault(row.reason, []).append(str(row.first) if row.first == row.last else f"{row.first}-{row.last}")
    return "; ".join(f"page{'s' * (len(found) > 1 or '-' in found[0])} {', '.join(found)}: {reason}" for reason, found in pages.items())


def print_json(results: list[Result]) -> None:
    """One object a document on standard output."""
    for result in results:
        document = result.document
        line = {
            "path": str(result.path),
            "document_id": document.document_id if document else "",
            "state": result.state,
            "reason": result.reason,
            "pages": document.total if document else 0,
            "done": document.done if document else 0,
            "degraded": document.degraded if document else 0,
            "quarantined": document.quarantined if document else 0,
            "seconds": result.seconds,
            "output": str(result.output) if result.output else None,
        }
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")


def print_table(results: list[Result]) -> None:
    """The table a person reads, the reasons of what did not go well, and the engines used."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_WIDTH)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("document", overflow="fold")
    for name in ("state", "pages", "routes"):
        table.add_column(name, no_wrap=True)
    for name in ("mean\nconf.", "degra-\nded", "quaran-\ntined", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        table.add_row(*_cells(result))
    console.print(table)
    for result in results:
        if result.reason:
            console.print(f"{result.path.name}: {result.state}, {result.reason}", highlight=False, markup=False, soft_wrap=True)
    for line in _shortcomings(results):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    engines = Counter[str]()
    for result in results:
        for row in result.rows:
            engines[row.engine] += row.pages if row.engine else 0
    used = [f"{name} ({some(pages, 'page')})" for name, pages in engines.most_common() if name]
    console.print(f"Engines: {', '.join(used) or 'none'}", highlight=False)


def route_of(row: PagesRow) -> str:
    """The way that a row's pages have gone, in a word; whose reading stands in the end the ledger does not know."""
    return "vision" if row.escalated_at else _ROUTES[row.route]


def _routes(result: Result) -> Counter[str]:
    """Pages by whose reading stands, as the results say; of what was not delivered, by the way they went."""
    routes = Counter[str]()
    try:
        delivered = json.loads((result.output / "usage.json").read_bytes())["rows"] if result.output else []
        stood = {row["first"]: _ROUTES[row["route"]] for row in delivered}
    except (OSError, ValueError, KeyError):
        stood = {}
    for row in result.rows:
        routes[stood.get(row.first) or route_of(row)] += row.pages
    return routes


def _shortcomings(results: list[Result]) -> Iterator[str]:
    """Why pages are DEGRADED, each reason once and without its figures, with the documents that have it, the most frequent first."""
    reasons, names = Counter[str](), dict[str, dict[str, None]]()
    for result in results:
        for row in result.rows:
            if row.state == "DEGRADED":
                reason = _FIGURES.sub("", row.reason)
                reasons[reason] += row.pages
                names.setdefault(reason, {})[result.path.name] = None
    for reason, pages in reasons.most_common(_MOST_REASONS):
        hint = " (--vision names one)" if reason.endswith("no vision backend") else ""
        yield f"{some(pages, 'page')} DEGRADED in {a_few(list(names[reason]), _MOST_NAMES)}: {reason}{hint}"
    if len(reasons) > _MOST_REASONS:
        yield "... and for other reasons: escriba show names them"


def _cells(result: Result) -> list[str]:
    document, routes = result.document, _routes(result)
    return [
        result.path.name,
        result.state,
        str(document.total) if document else "0",
        ", ".join(f"{pages} {route}" for route, pages in routes.items()),
        f"{result.confidence:.3f}" if result.confidence is not None else "",
        str(document.degraded) if document else "0",
        str(document.quarantined) if document else "0",
        f"{result.seconds:.1f}",
    ]


def write_report(pipeline: LocalPipeline, results: list[Result], out: Path) -> None:
    """`out/report.html`: each page's picture beside its rendered Markdown, worst pages first."""
    pages = sorted(_report_pages(results), key=_badness)
    pictured = [_pictured(pipeline, page, place) if n < _PICTURES else page for n, (page, place) in enumerate(pages)]
    rejected = [(result.path.name, result.reason) for result in results if result.output is None]
    (out / "report.html").write_text(report_html(pictured, rejected), "utf-8")


def _report_pages(results: list[Result]) -> Iterator[tuple[ReportPage, Picturable]]:
    for result in results:
        if result.output is None or result.document is None:
            continue
        policy = Policy.model_validate_json(result.document.policy)
        document = msgspec.json.decode((result.output / "document.json").read_bytes(), type=Document)
        rows = {number: row for row in result.rows for number in range(row.first, row.last + 1)}
        for page in document.pages:
            row = rows[page.number]
            yield ReportPage(document=result.path.name, page=page), Picturable(row.object_key, page.number - row.offset, policy)


def _badness(entry: tuple[ReportPage, Picturable]) -> tuple[int, float]:
    page = entry[0].page
    order = {"QUARANTINED": 0, "DEGRADED": 1}
    return order.get(page.state, 2), page.confidence if page.confidence is not None else 1.0


def _pictured(pipeline: LocalPipeline, entry: ReportPage, place: Picturable) -> ReportPage:
    try:
        picture = pipeline.ports.reader.picture(
            fetch(place.object_key, pipeline.ports), place.policy, place.number, _PICTURE_PIXELS, entry.page.turned
        )
    except EscribaError:
        return entry
    return msgspec.structs.replace(entry, picture=picture)
