"""Replays a Dockerfile without Docker: its COPY and RUN steps in folders of a scratch directory, one a stage, standing for the file systems.

Not replayed: the base image (its place is taken by a bare environment of the running Python), apt-get, USER and VOLUME.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.packages.environment import surroundings

_INSIDE = re.compile(r"(?<![\w./-])/(?=(?:var/task|tmp|source|cache)\b)")
"""The folders of the image that steps name; they are looked for under the stage's own root."""
_OUTSIDE = re.compile(r"(?<![\w./-])/\w")


@dataclass
class Stage:
    """What one FROM began."""

    root: Path
    workdir: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    user: str = ""
    skipped: list[str] = field(default_factory=list)


def steps(text: str) -> list[tuple[str, str]]:
    """Each instruction and what stands behind it, comments left out and continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def replay(dockerfile: Path, context: Path, scratch: Path, prefix: Path) -> Stage:
    """The last stage as it stands after all steps. `prefix` holds the `python` and the `pip` that the steps call.

    Raises FileNotFoundError for what COPY does not find in the context, CalledProcessError for a step that fails, ValueError for one unknown.
    """
    stages: dict[str, Stage] = {}
    stage = Stage(scratch)
    for word, rest in steps(dockerfile.read_text()):
        match word:
            case "ARG" | "VOLUME":
                pass
            case "FROM":
                name = rest.partition(" AS ")[2] or str(len(stages))
                stage = stages[name] = Stage(scratch / name)
                stage.root.mkdir()
            case "COPY":
                _copy(rest.split(), context, stages, stage.root)
            case "RUN" if rest.startswith("apt-get"):
                stage.skipped.append(rest)
            case "RUN":
                _run(rest, stage, prefix)
            case "WORKDIR":
                stage.workdir = rest
            case "USER":
                stage.user = rest
            case "ENTRYPOINT":
                stage.entrypoint = json.loads(rest)
            case "CMD":
                stage.command = json.loads(rest)
            case _:
                raise ValueError(f"{word} is not replayed")
    return stage


def _run(command: str, stage: Stage, prefix: Path) -> None:
    if _OUTSIDE.search(_INSIDE.sub("", command)):
        raise ValueError(f"this step would reach outside of the scratch directory: {command}")
    for folder in ("tmp", "var"):
        (stage.root / folder).mkdir(exist_ok=True)
    there = _INSIDE.sub(f"{stage.root}/", command)
    subprocess.run(["sh", "-ec", there], cwd=stage.root, env=surroundings(prefix), check=True)


def _copy(words: list[str], context: Path, stages: dict[str, Stage], root: Path) -> None:
    origin, ignored = context, Ignored(context / ".dockerignore")
    if words[0].startswith("--from="):
        origin, ignored = stages[words.pop(0).removeprefix("--from=")].root, Ignored(None)
    *sources, target = words
    for source in sources:
        found = origin / source.lstrip("/")
        files = [path for path in ([found] if found.is_file() else found.rglob("*")) if path.is_file()]
        taken = [path for path in files if not ignored(path.relative_to(origin).as_posix())]
        if not taken:
            raise FileNotFoundError(f"COPY {source}: the build's context holds no such thing")
        for path in taken:
            inside = path.relative_to(found) if found.is_dir() else Path(path.name if target.endswith("/") else "")
            place = root / target.lstrip("/") / inside
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)


class Ignored:
    """Whether .dockerignore keeps a path (from the context's top, with slashes) out: the last pattern that fits it decides."""

    def __init__(self, file: Path | None) -> None:
        lines = file.read_text().splitlines() if file is not None else []
        self._patterns = [(not line.startswith("!"), self._pattern(line.lstrip("!"))) for line in lines if line.strip() and line[0] != "#"]

    def __call__(self, path: str) -> bool:
        ignored = False
        for keeps_out, pattern in self._patterns:
            if pattern.fullmatch(path):
                ignored = keeps_out
        return ignored

    @staticmethod
    def _pattern(line: str) -> re.Pattern[str]:
        parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        text = "".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", line.strip().strip("/")))
        return re.compile(f"{text}(?:/.*)?")  # a folder's pattern fits all that it holds
