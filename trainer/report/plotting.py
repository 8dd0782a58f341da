"""The parts that all figures share: style, canvas, texts, PNG bytes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from trainer.text import number_text

P = ParamSpec("P")

# Blue, vermilion and grey of Okabe and Ito are distinct for every kind of colour vision. Each
# colour also has its own line style, marker or hatch.
NET, GROSS, HOLD, SECOND = "#0072B2", "#4A9CC9", "#6E7781", "#B34E00"
INK, MUTED, GRID = "#1F2328", "#57606A", "#E3E7EB"
#: Inches, and dots per inch: about the width of the text column of the report.
WIDTH, DPI = 7.2, 110

#: It sets every value with which a user's matplotlibrc could break a figure or its texts.
_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.usetex": False,
    "text.color": INK,
    "axes.unicode_minus": True,
    "axes.edgecolor": "#8C959F",
    "axes.labelcolor": INK,
    "axes.facecolor": "white",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titley": 1.0,
    "axes.titlepad": 5.0,
    "axes.titlecolor": MUTED,
    "axes.titlelocation": "left",
    "axes.xmargin": 0.02,
    "axes.ymargin": 0.06,
    "figure.facecolor": "white",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "xtick.color": "#8C959F",
    "ytick.color": "#8C959F",
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "path.simplify": True,
}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make a drawing function use the style of the report and leave the user's style unchanged."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def canvas(
    title: str,
    height: float,
    heights: tuple[float, ...] = (1.0,),
    widths: tuple[float, ...] = (1.0,),
    *,
    share: str = "x",
    left: float = 0.75,
    right: float = 0.14,
    top: float = 0.62,
    bottom: float = 0.56,
    gap: float = 0.2,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a title, and its empty axes, in order from the top left.

    The margins are arguments. A layout engine could compute them, but it draws every text twice:
    it took as much time as all other steps together.

    Parameters
    ----------
    title : str
    height : float
        Height of the figure in inches.
    heights, widths : tuple of float
        Relative sizes of the rows and columns of axes.
    share : str, default "x"
        Axis that all axes share, ``x`` or ``y``.
    left, right, top, bottom, gap : float
        Inches around and between the axes.
    """
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.text(
        0.1 / WIDTH, 1 - 0.08 / height, one_line(title), va="top", fontsize=11.5, fontweight="bold"
    )
    rows, across = len(heights), len(widths)
    high, wide = height - top - bottom, WIDTH - left - right
    grid = figure.subplots(
        rows,
        across,
        sharex=share == "x",
        sharey=share == "y",
        squeeze=False,
        height_ratios=heights,
        width_ratios=widths,
        gridspec_kw={
            "left": left / WIDTH,
            "right": 1 - right / WIDTH,
            "top": 1 - top / height,
            "bottom": bottom / height,
            "hspace": gap * rows / (high - gap * (rows - 1)),
            "wspace": gap * across / (wide - gap * (across - 1)),
        },
    )
    for axes in grid.flat:
        box = axes.get_position()
        axes.yaxis.set_label_coords(-(left - 0.2) / (box.width * WIDTH), 0.5)
        axes.xaxis.set_label_coords(0.5, -(bottom - 0.27) / (box.height * height))
    return figure, list(grid.flat)


def legend(axes: Axes) -> None:
    """Draw the legend as one line above the axes, where it covers no data."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, borderaxespad=0.1, borderpad=0.2,
        columnspacing=1.6, handletextpad=0.6,
    )  # fmt: skip


@styled
def empty_figure(title: str, reason: str) -> Figure:
    """Return a figure without data that shows the reason as a text."""
    figure, (axes,) = canvas(title, 1.5, top=0.45, bottom=0.2)
    axes.set_axis_off()
    write_in_middle(axes, reason)
    return figure


def write_in_middle(axes: Axes, text: str) -> None:
    """Write a text in the middle of axes without data; remove the ticks, which suggest values."""
    axes.set(xticks=[], yticks=[])
    axes.text(
        0.5, 0.5, one_line(text), transform=axes.transAxes, ha="center", va="center",
        fontsize=11, color=MUTED, style="italic",
    )  # fmt: skip


def png_bytes(figure: Figure) -> bytes:
    """Return the figure as a PNG file of 128 colours; equal figures give equal bytes."""
    agg = FigureCanvasAgg(figure)
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # The font may lack the script of a symbol's or feature's name. It then draws boxes, which
        # is better than a failure.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        agg.draw()
    drawn = Image.fromarray(np.asarray(agg.buffer_rgba())[..., :3])
    # Lines on white need no more colours. Writing them takes a third of the time and bytes.
    few = drawn.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    # Averaging moves the background one step from white, which is visible beside a white page.
    palette = np.array(few.getpalette(), dtype=np.uint8).reshape(-1, 3)
    palette[(palette >= 254).all(axis=1)] = 255
    few.putpalette(palette.tobytes())
    out = io.BytesIO()
    few.save(out, "png")
    return out.getvalue()


def one_line(text: str, longest: int = 80) -> str:
    """Return a text on one line of at most `longest` characters, its dollar signs escaped.

    Without the escape, matplotlib reads the text between two dollar signs as a formula.

    Examples
    --------
    >>> one_line("two  words")
    'two words'
    """
    line = " ".join(text.split())
    line = line if len(line) <= longest else line[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return line.replace("$", r"\$")


def plot_number(value: float, form: str = ".2f") -> str:
    """Return a number as text with a minus sign that is as wide as the plus sign."""
    return number_text(value, form).replace("-", "\N{MINUS SIGN}")
