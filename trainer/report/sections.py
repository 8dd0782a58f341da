"""The section of a figure in the HTML page, as values for the template."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass

from trainer.report.page import Page
from trainer.report.report_figure import ReportFigure


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are texts."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Image:
    """A picture inside the page: its data URI, its size in pixels, its alternative text."""

    source: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class Section:
    """The section of one figure.

    Attributes
    ----------
    name, heading, caption : str
    missing : str
        Sentence that stands in place of a missing picture.
    image : Image or None
        None if the figure was not drawn.
    table : TextTable
        Without rows if the figure has no table.
    """

    name: str
    heading: str
    caption: str
    missing: str
    image: Image | None
    table: TextTable


def section(figure: ReportFigure, page: Page, png: bytes | None) -> Section:
    """Return the section of a figure.

    Parameters
    ----------
    figure : ReportFigure
    page : Page
    png : bytes or None
        The PNG file of the figure; None if it was not drawn.
    """
    return Section(
        name=figure.name,
        heading=figure.heading,
        caption=figure.caption,
        missing=figure.missing,
        image=None if png is None else _image(png, figure.alt(page)),
        table=_table(figure, page),
    )


def _image(png: bytes, alt: str) -> Image:
    # Bytes 16 to 24 of a PNG are its size. With the size, the layout does not move during loading.
    width, height = struct.unpack(">II", png[16:24])
    source = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    return Image(source, width, height, alt)


def _table(figure: ReportFigure, page: Page) -> TextTable:
    caption, table = f"{figure.heading}: values", figure.table
    if table is None:
        return TextTable(caption, (), ())
    return TextTable(
        caption,
        tuple(column.heading for column in table.columns),
        tuple(tuple(column.cell(row) for column in table.columns) for row in table.rows(page)),
    )
