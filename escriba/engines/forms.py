"""Links and form fields of a PDF page for the text-layer engine; a ticked box is read as one, not as the letter its font draws it with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymupdf

from escriba.document import BoundingBox, Field, FieldKind, Link, Word

_SAFE = ("http://", "https://", "mailto:")
"""What a link may lead to: nothing that acts where the outputs are shown."""
_KINDS: dict[int, FieldKind] = {
    pymupdf.PDF_WIDGET_TYPE_TEXT: "text",
    pymupdf.PDF_WIDGET_TYPE_CHECKBOX: "checkbox",
    pymupdf.PDF_WIDGET_TYPE_RADIOBUTTON: "radio",
    pymupdf.PDF_WIDGET_TYPE_COMBOBOX: "choice",
    pymupdf.PDF_WIDGET_TYPE_LISTBOX: "choice",
    pymupdf.PDF_WIDGET_TYPE_SIGNATURE: "signature",
}
_OFF = {"", "Off", "False", "None"}
_TICKED, _EMPTY = "☒", "☐"


def links(page: Any) -> tuple[Link, ...]:
    """The page's links that lead out of it, as displayed."""
    if page.first_link is None:
        return ()
    found = ((str(link.get("uri", "")), link["from"]) for link in page.get_links() if link["kind"] == pymupdf.LINK_URI)
    return tuple(Link(_plain(uri), _box(rect, page)) for uri, rect in found if uri.lower().startswith(_SAFE))


def fields(page: Any) -> tuple[Field, ...]:
    """The page's form fields with their values, as displayed; nothing where the document is no form."""
    if not page.parent.is_form_pdf:
        return ()
    return tuple(
        Field(widget.field_name or "", _KINDS.get(widget.field_type, "button"), _value(widget), _box(widget.rect, page))
        for widget in page.widgets()
    )


def ticks(page: Any) -> Iterator[Word]:
    """A word for each box that can be ticked, before the page's rotation."""
    if page.parent.is_form_pdf:
        for widget in page.widgets([pymupdf.PDF_WIDGET_TYPE_CHECKBOX, pymupdf.PDF_WIDGET_TYPE_RADIOBUTTON]):
            yield Word(_EMPTY if _value(widget) in _OFF else _TICKED, BoundingBox(*(round(v, 2) for v in widget.rect)))


def _value(widget: Any) -> str:
    if _KINDS.get(widget.field_type) == "radio":
        # All buttons of a group share its value: only the one whose own state this is was chosen.
        return str(widget.field_value or "Off") if widget.field_value == widget.on_state() else "Off"
    return str(widget.field_value if widget.field_value is not None else "")


def _plain(uri: str) -> str:
    """The address without what would end it early in Markdown."""
    return "".join(f"%{ord(c):02X}" if c in "<>\\ " or ord(c) < 32 else c for c in uri)  # noqa: PLR2004


def _box(rect: Any, page: Any) -> BoundingBox:
    return BoundingBox(*(round(value, 2) for value in pymupdf.Rect(rect) * page.rotation_matrix))
