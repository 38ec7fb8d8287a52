"""Puts what is made from data into a page of the docs, between two marks."""

from __future__ import annotations


def rewritten(page: str, begin: str, end: str, content: str) -> str:
    """The page with `content` between the marks. Raises ValueError when it lacks one."""
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the page lacks the marks {begin} and {end}")
    return f"{before}{begin}\n\n{content}\n{end}{after}"
