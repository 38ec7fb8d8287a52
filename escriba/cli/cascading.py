"""Measures the cascade: reads pages with known truths, has each page's truth served by HTTP, and draws what sending pages gains for their pixels."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import cv2
import msgspec
import numpy as np
from rich.console import Console

from escriba.cli.reading import read_files
from escriba.cli.tables import print_rows
from escriba.document import Document, Page
from escriba.engines.vision import VisionClient
from escriba.errors import ConfigurationError
from escriba.escalation import expected_error, features
from escriba.evaluation.calibration import Reading, calibration
from escriba.evaluation.cascade import MEASURES, Figure, Summary, Trial, captured, summary
from escriba.evaluation.cascade_files import write_cascade
from escriba.evaluation.cascade_fit import fit
from escriba.evaluation.split import Half, document_of
from escriba.evaluation.texts import score_scan
from escriba.evaluation.truth_server import MODEL, key_of, truth_server
from escriba.evaluation.truths import Truth, choose, find_truths
from escriba.formats.markdown import page_text
from escriba.isolation import IsolatedReader
from escriba.policy import Policy, load_policy
from escriba.vision import Question, VisionModel

_SIDE = 1288
"""Pixels of the longer side of what is sent: what olmOCR's own pipeline draws."""
_PROMPT = "Transcribe this page."
_SECONDS = 30.0
_MAX_TOKENS = 16_384
_PATIENCE = 300.0
"""Seconds a page may take here: a page left out because the machine was busy would bend the curve."""
_HALVES: tuple[Half, ...] = ("tuning", "reporting")


def run(data: Path, out: Path, *, policy: Path | None, kind: str, limit: int, workers: int, fitting: bool, json: bool) -> None:
    """Read, serve, score, write and print. Raises `ConfigurationError` and `EngineMissing`."""
    wishes = load_policy(policy) if policy is not None else Policy()
    truths = [truth for truth in choose(find_truths(data), kind=kind, limit=limit) if truth.text() is not None]
    with closing(IsolatedReader()) as reader:
        reader.engine_versions(wishes)  # a missing engine would else reject every document
        pages = _read(truths, wishes, out, workers=workers, quiet=json)
        trials = _tried(pages, reader, wishes)
    if fitting:
        _fit([(page, truth, trial) for (truth, page), trial in zip(pages, trials, strict=True) if trial.half == "tuning"])
        return
    summaries = {half: summary(part, wishes.vision.threshold) for half in _HALVES if (part := [t for t in trials if t.half == half])}
    try:
        write_cascade(trials, summaries, out)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {out} ({error.strerror}); choose another folder with --out") from None
    if json:
        sys.stdout.write(jsonlib.dumps({"data": str(data), "halves": msgspec.to_builtins(summaries)}, ensure_ascii=False) + "\n")
        return
    for half, found in summaries.items():
        _print(half, found)
    _say(len(truths) - len(pages), out)


def _read(truths: Sequence[Truth], wishes: Policy, out: Path, *, workers: int, quiet: bool) -> list[tuple[Truth, Page]]:
    """The documents that are one page read by OCR, as the pipeline reads them without a vision model; `out/readings` keeps them."""
    vision = wishes.vision.model_copy(update={"enabled": False})
    limits = wishes.limits.model_copy(update={"page_seconds": max(_PATIENCE, wishes.limits.page_seconds)})
    alone = wishes.model_copy(update={"vision": vision, "limits": limits})
    results = read_files([truth.document for truth in truths], alone, out / "readings", workers=workers, quiet=quiet)
    pages = []
    for truth, result in zip(truths, results, strict=True):
        if result.output is not None:
            document = msgspec.json.decode((result.output / "document.json").read_bytes(), type=Document)
            if len(document.pages) == 1 and document.pages[0].evidence is not None:
                pages.append((truth, document.pages[0]))
    if not pages:
        raise ConfigurationError(
            "no document with a text beside it is a single page that was read by OCR, and the cascade is about such pages"
        )
    return pages


def _tried(pages: Sequence[tuple[Truth, Page]], reader: IsolatedReader, wishes: Policy) -> list[Trial]:
    served: dict[str, str] = {}
    with truth_server(served) as url, VisionClient(url) as model:
        trials = []
        for truth, page in pages:
            image = reader.picture(truth.document, wishes, 1, _SIDE, page.turned)
            served[key_of(image)] = truth.text() or ""
            trials.append(_trial(truth, page, image, model))
    return trials


def _trial(truth: Truth, page: Page, image: bytes, model: VisionModel) -> Trial:
    """The page before and after: what the model answers takes the place of what OCR read."""
    text = truth.text() or ""
    picture = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE)
    pixels = 0 if picture is None else picture.size
    question = Question(model=MODEL, prompt=_PROMPT, image=image, media_type="image/jpeg", pixels=pixels, max_tokens=_MAX_TOKENS)
    answer = model.ask(question, _SECONDS)
    before, after = (score_scan(text, read, fold=truth.fold) for read in (page_text(page), answer.text))
    return Trial(
        name=truth.name,
        document=(Path(truth.name).parent / document_of(truth.stem)).as_posix(),
        kind=truth.kind,
        half=truth.half,
        expected=expected_error(page),
        features=features(page),
        pixels=pixels,
        cer=min(before.cer, 1.0),
        f1=before.f1,
        cer_after=min(after.cer, 1.0),
        f1_after=after.f1,
    )


def _fit(tuning: Sequence[tuple[Page, Truth, Trial]]) -> None:
    """Print the coefficients for `escalation.py`, and what confidences are worth, from which `document.py` says who is sure."""
    trials = [trial for _, _, trial in tuning]
    if len({trial.document for trial in trials}) < 2:  # noqa: PLR2004  (one to leave out, one to fit on)
        raise ConfigurationError("coefficients are fitted on the tuning half, which needs two documents at least")
    found = fit([trial.features for trial in trials], [trial.cer for trial in trials], [trial.document for trial in trials])
    sys.stdout.write(f"{jsonlib.dumps(found.coefficients, indent=4)}\n")
    sys.stdout.write(
        f"fitted on {len(trials)} pages of the tuning half; root mean square error of the CER {found.fitted:.3f}, "
        f"{found.left_out:.3f} on pages left out\n"
    )
    left_out = [msgspec.structs.replace(trial, expected=told) for trial, told in zip(trials, found.predictions, strict=True)]
    areas = ", ".join(f"{measure.upper()} {_percent(captured(left_out, measure))} %" for measure in MEASURES)
    sys.stdout.write(f"area on pages left out: {areas}\n\n")
    # Words of a script that an engine does not know tell nothing of its scale.
    known = [(page, truth) for page, truth, _ in tuning if not score_scan(truth.text() or "", "").cjk]
    steps = calibration(Reading(page.engine, tuple(page.words()), truth.text() or "") for page, truth in known)
    rows = [(step.engine, f"{step.low:g} to {step.high:g}", str(step.words), _percent(step.wrong)) for step in steps]
    print_rows("What confidences are worth", ["engine", "confidence", "words", "% of characters in wrong ones"], rows, [])


def _print(half: Half, found: Summary) -> None:
    head = ["documents", "CER before", "expected", "sent", "pixels sent", "CER after", "word F1 after"]
    rows = [_row(kind, part) for kind, part in found.kinds.items()]
    print_rows(
        f"The {half} half: pages sent from an expected error of {found.stop.threshold:g} on, %", head, rows, [_row("all", found.whole)]
    )
    figures = [
        (f"{name} ({measure.upper()})", f"{100 * value.value:.1f} ({_percent(value.low)}, {_percent(value.high)})")
        for measure, value in found.captured.items()
        for name in ("of the way from random order to the oracle's",)
    ]
    print_rows("Area under the curve, %", ["", "mean, 95 % interval"], figures, [])
    steps = [
        (f"{step.threshold:.2f}", str(step.pages), _percent(step.pixels), _percent(step.cer), _percent(step.f1), _percent(step.gained))
        for step in found.thresholds
    ]
    print_rows("Thresholds", ["expected error", "pages", "pixels %", "CER %", "word F1 %", "% of the gain"], steps, [])


def _row(label: str, part: Figure) -> list[str]:
    shares = (part.cer, part.expected, part.sent, part.pixels, part.cer_after, part.f1_after)
    return [f"{label} ({part.pages})", *(_percent(share) for share in shares)]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _say(left_out: int, out: Path) -> None:
    told = Console(highlight=False, markup=False, soft_wrap=True).print
    told(
        "Every page's truth was served by HTTP as a model's answer; the gain is what a perfect model could give, its price the pixels sent."
    )
    if left_out:
        told(f"{left_out} documents are left out: they have several pages, needed no OCR, or were not delivered.")
    told(f"Curves:  {out / 'cascade.svg'}")
    told(f"Points:  {out / 'cascade.csv'}")
    told(f"Pages:   {out / 'cascade.json'}")
