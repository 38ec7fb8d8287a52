"""Finds documents and the truths beside them in any folder: NAME.gt.txt, .gt.md, .expected.html, .expected.csv, .facts.jsonl."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from escriba.errors import ConfigurationError
from escriba.evaluation.facts import Fact, read_facts
from escriba.evaluation.split import Half, half_of
from escriba.evaluation.tables import Table, table_in_csv, tables_in_html
from escriba.evaluation.texts import plain_text
from escriba.sources.opening import HEAD, media_type

MANIFEST = "manifest.csv"
UNKNOWN = "unknown"
_TEXTS, _TABLES, _FACTS = (".gt.txt", ".gt.md"), (".expected.html", ".expected.csv"), ".facts.jsonl"


@dataclass(frozen=True)
class Truth:
    """A document with at least one truth beside it. `document` is where it lies; `name` its path from the folder of truths.

    `kind` is the manifest's, the part before a colon; `fold` says that case is not to count; `picture` that it is no PDF.
    """

    name: str
    document: Path
    kind: str
    picture: bool
    fold: bool
    files: dict[str, Path] = field(repr=False)

    @property
    def stem(self) -> str:
        return self.document.stem

    @property
    def half(self) -> Half:
        return half_of(self.stem)

    def text(self) -> str | None:
        """The true text without Markdown: of pictures first .gt.txt, of PDFs first .gt.md; None without either."""
        for ending in _TEXTS if self.picture else reversed(_TEXTS):
            if ending in self.files:
                text = _read(self.files[ending])
                return plain_text(text) if ending == ".gt.md" else text
        return None

    def tables(self) -> tuple[list[Table], bool] | None:
        """The true tables, and whether they are all there are (a CSV file holds one); None without a truth."""
        if ".expected.html" in self.files:
            return tables_in_html(_read(self.files[".expected.html"])), True
        if ".expected.csv" in self.files:
            return [table_in_csv(_read(self.files[".expected.csv"]))], False
        return None

    def facts(self) -> dict[int, Fact] | None:
        """The facts by line, None without a truth. Raises `ConfigurationError` for a line that is no fact."""
        return read_facts(self.files[_FACTS]) if _FACTS in self.files else None


def find_truths(data: Path) -> list[Truth]:
    """Every document in a folder and its subfolders that has a truth beside it, by name.

    Raises `ConfigurationError` when the folder is absent, holds no truths, or its manifest cannot be read.
    """
    if not data.is_dir():
        raise ConfigurationError(f"there is no folder {data}; name one of documents with their truths beside them with --data")
    folders = [data, *(path for path in sorted(data.rglob("*")) if path.is_dir() and not _hidden(path, data))]
    truths = [truth for folder in folders for truth in _in_folder(folder, data)]
    if not truths:
        raise ConfigurationError(
            f"no truths in {data}: a document NAME.pdf needs NAME{', NAME'.join((*_TEXTS, *_TABLES, _FACTS))} beside it"
        )
    return truths


def choose(truths: Sequence[Truth], *, half: Half | None = None, kind: str = "", limit: int = 0) -> list[Truth]:
    """Those of a half, of kinds that contain `kind` (whatever the case), at most `limit` (0: all).

    The limit draws by the documents' hashes: always the same ones, and not only those that stand first.
    Raises `ConfigurationError` when none is left.
    """
    chosen = [truth for truth in truths if half in {None, truth.half} and kind.casefold() in truth.kind.casefold()]
    if not chosen:
        known = ", ".join(sorted({truth.kind for truth in truths}))
        raise ConfigurationError(f"no document is left of kind {kind!r} in the half {half or 'all'}; kinds are {known}")
    if limit:
        drawn = sorted(chosen, key=lambda truth: hashlib.sha256(truth.name.encode("utf-8", "surrogateescape")).digest())[:limit]
        chosen = [truth for truth in chosen if truth in drawn]
    return chosen


def _hidden(path: Path, data: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(data).parts)


def _in_folder(folder: Path, data: Path) -> Iterator[Truth]:
    beside: dict[str, dict[str, Path]] = {}
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    for path in files:
        ending = next((ending for ending in (*_TEXTS, *_TABLES, _FACTS) if path.name.endswith(ending)), "")
        if ending and path.name != ending:
            beside.setdefault(path.name.removesuffix(ending), {})[ending] = path
    if not beside:
        return
    manifest = _manifest(folder)
    for path in files:
        kind = _kind_of_file(path) if path.stem in beside else ""
        if kind:
            row = manifest.get(path.stem, {})
            yield Truth(
                name=path.relative_to(data).as_posix(),
                document=path,
                kind=(row.get("kind") or "").split(":")[0].strip() or UNKNOWN,
                picture=kind != "application/pdf",
                # The receipts of ICDAR's SROIE are transcribed in capitals whatever the print.
                fold="SROIE" in (row.get("source_repository") or "") if row else path.stem.startswith("sroie_"),
                files=beside[path.stem],
            )


def _kind_of_file(path: Path) -> str:
    if path.name.endswith((*_TEXTS, *_TABLES, _FACTS)):
        return ""
    with path.open("rb") as file:
        return media_type(file.read(HEAD)) or ""


def _manifest(folder: Path) -> dict[str, dict[str, str]]:
    """Rows of the manifest in the folder or its parent, by stem; those of other folders left out."""
    folder = folder.resolve()
    path = next((place / MANIFEST for place in (folder, folder.parent) if (place / MANIFEST).is_file()), None)
    if path is None:
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from None
    if rows and "path" not in rows[0]:
        raise ConfigurationError(
            f"{path} has no column named path; its first line names columns: path, and if you have them kind, source_repository"
        )
    # An empty parent: a manifest that lies with its documents.
    own = ((Path(row["path"]), row) for row in rows if row["path"])
    return {name.stem: row for name, row in own if name.parent.name in {"", folder.name}}


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text") from None
