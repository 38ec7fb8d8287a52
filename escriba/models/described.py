"""Describes the models for whoever has to choose one; `make docs` writes it between two marks of docs/models.md."""

from __future__ import annotations

import sys
from pathlib import Path

from escriba import marked
from escriba.models.registry import DEFAULT, SMALL, VLLM_VERSION, Model, catalogue

BEGIN, END = "<!-- made by make docs from escriba/models/models.toml -->", "<!-- end of what make docs makes -->"
_HEAD = (
    "| name | weights | licence | precision, GiB | smallest GPU | on Ollama | USD in, out a million tokens | scores |\n"
    + "|---" * 8
    + "|\n"
)


def described() -> str:
    """A table in Markdown, a row for each entry."""
    rows = "".join(_row(entry) for entry in catalogue().values())
    told = (
        f"The GPU is the smallest one that holds the weights and four full contexts, by arithmetic. How vLLM serves a model, with the flags of version {VLLM_VERSION},\n"
        "`escriba models show` prints under `serve`."
    )
    return f"{told}\n\n{_HEAD}{rows}"


def _row(entry: Model) -> str:
    note = {DEFAULT: " (default)", SMALL: " (small)"}.get(entry.name, "")
    weights = f"{entry.repo}@{entry.revision[:7] or 'unpinned'}" if entry.repo else "outside" if entry.external else ""
    price = f"{entry.price.input:g}, {entry.price.output:g} ({entry.price.dated})" if entry.price else ""
    scores = "; ".join(f"{score.benchmark} {score.value:g} ({score.source})" for score in entry.scores)
    precision = f"{entry.precision}, {entry.weights_gib:g}" if entry.repo else ""
    cells = (f"`{entry.name}`{note}", weights, entry.licence, precision, *(entry.gpus() or ("",))[:1], entry.ollama, price, scores)
    return f"| {' | '.join(cells)} |\n"


def rewritten(page: str) -> str:
    """The page with its description made anew. Raises ValueError when it has no marks."""
    return marked.rewritten(page, BEGIN, END, described())


def main() -> None:
    """Rewrite the page named on the command line."""
    path = Path(sys.argv[1])
    path.write_text(rewritten(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
