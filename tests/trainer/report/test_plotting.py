"""The parts that figures share: a style that no user setting changes, equal bytes, safe texts."""

from __future__ import annotations

import io
import math

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from PIL import Image

from trainer.report.plotting import (
    DPI,
    WIDTH,
    canvas,
    empty_figure,
    one_line,
    plot_number,
    png_bytes,
    styled,
)


def texts(figure: Figure) -> list[str]:
    return [t.get_text() for holder in (figure, *figure.axes) for t in holder.texts]


def test_a_figure_without_data_has_a_reason_and_no_scale() -> None:
    figure = empty_figure("Equity", "never traded")
    (axes,) = figure.axes
    assert texts(figure) == ["Equity", "never traded"]
    assert not axes.lines
    assert len(axes.get_xticks()) == len(axes.get_yticks()) == 0


def test_equal_figures_are_equal_bytes_of_the_size_that_was_asked_for() -> None:
    first, second = (png_bytes(empty_figure("Equity", "never traded")) for _ in range(2))
    assert first == second
    with Image.open(io.BytesIO(first)) as image:
        assert image.size == (round(WIDTH * DPI), round(1.5 * DPI))
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


@styled
def falling() -> Figure:
    figure, (axes,) = canvas("Equity", 2.0)
    axes.plot([0, 1], [0, -1])
    return figure


def test_drawing_neither_uses_nor_changes_the_style_of_the_user() -> None:
    expected = png_bytes(falling())
    changed = {
        "font.family": ["DejaVu Serif"],
        "text.color": "red",
        "figure.facecolor": "black",
        "axes.unicode_minus": False,  # It is read when ticks are drawn, not when they are created.
    }
    with mpl.rc_context(changed):
        before = dict(mpl.rcParams)
        assert png_bytes(falling()) == expected
        assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    "name", ["$x^{", "a$b$c", "\N{CJK UNIFIED IDEOGRAPH-6BD4}", "a\nb", "\\frac", "{}%_"]
)
def test_any_name_can_be_drawn(name: str) -> None:
    assert png_bytes(empty_figure(name, name)).startswith(b"\x89PNG")


def test_names_are_one_line_of_bounded_length() -> None:
    assert one_line("a\n  b") == "a b"
    assert one_line("x" * 50, 10) == "x" * 9 + "\N{HORIZONTAL ELLIPSIS}"
    assert one_line("$5") == r"\$5"


def test_numbers_as_text() -> None:
    assert plot_number(-1.234) == "\N{MINUS SIGN}1.23"
    assert plot_number(math.nan) == plot_number(math.inf) == "undefined"


def test_margins_are_inches() -> None:
    _, (top, below) = canvas(
        "x", 5.0, (3.0, 1.0), left=1.0, right=0.2, top=0.5, bottom=0.7, gap=0.3
    )
    first, second = top.get_position(), below.get_position()
    assert first.x0 * WIDTH == pytest.approx(1.0)
    assert (1 - first.x1) * WIDTH == pytest.approx(0.2)
    assert (1 - first.y1) * 5 == pytest.approx(0.5)
    assert second.y0 * 5 == pytest.approx(0.7)
    assert (first.y0 - second.y1) * 5 == pytest.approx(0.3)
    assert first.height == pytest.approx(3 * second.height)
