"""Which files a command reads: what is named, what a folder holds, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from escriba.cli.files import choose
from escriba.errors import ConfigurationError
from tests.documents import text_pdf


def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    for path in (tmp_path / "b.pdf", tmp_path / "sub" / "a.pdf", tmp_path / "sub" / "no-suffix", tmp_path / ".hidden" / "c.pdf"):
        path.write_bytes(text_pdf("text"))
    (tmp_path / "sub" / "notes.txt").write_text("no document")
    return tmp_path


def test_a_folder_gives_its_documents_and_names_the_rest(tmp_path: Path) -> None:
    """By content or by name, sorted, hidden ones left alone; a file named twice is read once."""
    root = folder(tmp_path)
    chosen = choose([root, root / "b.pdf"])
    assert [path.relative_to(root).as_posix() for path in chosen.files] == ["b.pdf", "sub/a.pdf", "sub/no-suffix"]
    assert chosen.notes == ["Left out, for they are no documents: notes.txt."]
    for number in range(7):
        (root / f"x{number}.log").write_text("no document")
    assert choose([root]).notes == ["Left out, for they are no documents: x0.log, x1.log, x2.log, x3.log, x4.log and 3 more."]


def test_what_cannot_be_followed_is_said(tmp_path: Path) -> None:
    """A dead link and a path that does not exist end in a sentence with the way out, before anything is read."""
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match=r"the link .*dead leads nowhere; mend it or take it out"):
        choose([tmp_path])
    with pytest.raises(ConfigurationError, match="there is no file or folder"):
        choose([tmp_path / "absent"])


def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    """Nothing is left out in silence."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    try:
        if not _forbidden(closed):
            pytest.skip("this user may read everything")
        with pytest.raises(ConfigurationError, match=r"no permission to look into .*closed"):
            choose([tmp_path])
    finally:
        closed.chmod(0o700)


def _forbidden(path: Path) -> bool:
    try:
        list(path.iterdir())
    except PermissionError:
        return True
    return False
