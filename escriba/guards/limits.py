"""What a document may demand: every refusal is one sentence with the figure, the limit, and where to raise it."""

from __future__ import annotations

from escriba.errors import OverLimit
from escriba.policy import Limits

_SMALL = 50_000_000  # pixels; a blank page of fax is a thousand times smaller than its pixels, and harmless


def check_bytes(size: int, limits: Limits) -> None:
    """Raises `OverLimit` for a file of more than `max_bytes`."""
    if size > limits.max_bytes:
        raise OverLimit(_sentence(f"the file has {size:,} bytes", "max_bytes", limits.max_bytes))


def check_pages(pages: int, limits: Limits) -> None:
    """Raises `OverLimit` for a document of more than `max_pages`."""
    if pages > limits.max_pages:
        raise OverLimit(_sentence(f"the document has {pages:,} pages", "max_pages", limits.max_pages))


def check_picture(width: int, height: int, size: int, limits: Limits) -> None:
    """Raises `OverLimit` for a picture of too many pixels, or of too many for the `size` in bytes of the file it comes from."""
    pixels = width * height
    if pixels > limits.max_pixels:
        raise OverLimit(_sentence(f"the picture has {pixels:,} pixels", "max_pixels", limits.max_pixels))
    if pixels > _SMALL and pixels > size * limits.max_expansion:
        raise OverLimit(
            _sentence(f"the picture unpacks to {pixels // max(1, size):,} pixels a byte", "max_expansion", limits.max_expansion)
        )


def check_page_size(width: float, height: float, limits: Limits) -> None:
    """Raises `OverLimit` for a page whose longer side is over `max_page_inches`; sizes in points."""
    inches = max(width, height) / 72
    if inches > limits.max_page_inches:
        raise OverLimit(_sentence(f"the page is {inches:,.0f} inches long", "max_page_inches", limits.max_page_inches))


def check_nesting(depth: int, limits: Limits) -> None:
    """Raises `OverLimit` for documents within documents deeper than `max_nesting`."""
    if depth > limits.max_nesting:
        raise OverLimit(_sentence(f"the file holds documents within documents, {depth} deep", "max_nesting", limits.max_nesting))


def _sentence(fact: str, name: str, limit: int) -> str:
    return f"{fact}, more than the policy's limits.{name} = {limit:,}; raise it there"
