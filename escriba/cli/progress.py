"""Shows a run's progress: pages by route, rate and time left; hears of every row of the ledger as it is written."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

_REFRESH = 4  # times a second
_REMIND = 30.0  # seconds between lines where there is no terminal


class Progress:
    """A line on standard error while the context lasts, on a terminal one that moves; nothing when `quiet`.

    `phase` names what is being done once every page is read.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._rows: dict[tuple[str, str], tuple[str, str, int]] = {}
        self._documents: dict[str, str] = {}
        self._lock = threading.Lock()
        self._began, self._before = time.monotonic(), 0
        self.phase = ""
        console = Console(stderr=True)
        lively = console.is_terminal and not quiet
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=_REFRESH, transient=True) if lively else None
        self._reminder = None if quiet or lively else threading.Thread(target=self._remind, daemon=True)
        self._over = threading.Event()

    def on_row(self, item: dict[str, Any]) -> None:
        """Take in one written item (DynamoDB's JSON)."""
        pk, sk = item["pk"]["S"], item["sk"]["S"]
        with self._lock:
            if sk == "DOC":
                self._documents[pk] = item["state"]["S"]
            elif sk.startswith("PAGES#"):
                if "unpacked" in item:
                    self._rows.pop((pk, sk), None)
                    return
                pages = int(item["last"]["N"]) - int(item["first"]["N"]) + 1
                self._rows[pk, sk] = (item["route"]["S"], item["state"]["S"], pages)

    def line(self) -> str:
        """Where the run stands, in one line."""
        with self._lock:
            rows, documents = list(self._rows.values()), list(self._documents.values())
        total = sum(pages for _, _, pages in rows)
        ended = sum(pages for _, state, pages in rows if state != "WAITING")
        routes = {name: sum(p for route, state, p in rows if route == name and state != "WAITING") for name in ("text_layer", "ocr")}
        seconds = time.monotonic() - self._began
        rate = (ended - self._before) / seconds if seconds > 0 else 0.0
        left = f"{_duration((total - ended) / rate)} left" if rate > 0 else "starting"
        finished = sum(state in {"DONE", "PARTIAL", "REJECTED"} for state in documents)
        return (
            f"{ended}/{total} pages  text layer {routes['text_layer']}  OCR {routes['ocr']}  "
            f"{finished}/{len(documents)} documents  {rate:.1f} pages/s  {left}"
        )

    def _render(self) -> Text:
        return Text(f"{self.line()}  {self.phase}" if self.phase else self.line())

    def _remind(self) -> None:
        while not self._over.wait(_REMIND):
            sys.stderr.write(f"escriba: {self._render().plain}\n")

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._before = sum(pages for _, state, pages in self._rows.values() if state != "WAITING")
        if self._live is not None:
            self._live.start()
        if self._reminder is not None:
            self._reminder.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
        self._over.set()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
