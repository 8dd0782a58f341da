"""What every figure shares: its style, its PNG bytes, and words where there is nothing to draw."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

P = ParamSpec("P")
FloatArray = npt.NDArray[np.float64]

# Blue, vermilion and grey of Okabe and Ito differ for every kind of colour vision; whatever has
# a colour also has a line style, a marker or a hatch of its own.
NET, GROSS, HOLD, SECOND = "#0072B2", "#4A9CC9", "#6E7781", "#B34E00"
INK, MUTED, GRID = "#1F2328", "#57606A", "#E3E7EB"
#: Inches, and dots an inch: about as wide as the column of text that a report is read in.
WIDTH, DPI = 7.2, 110

#: Complete where a user's matplotlibrc could break a figure or its words.
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
    """Draw in this project's style whatever matplotlib was told before, and leave that as it is."""

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
    """Return an empty figure with its title, and its axes from the top left on.

    Margins are given, not found: a layout engine draws every text twice, and took as long as
    all else.

    Parameters
    ----------
    title : str
    height : float
        Inches.
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
        0.1 / WIDTH, 1 - 0.08 / height, plain(title), va="top", fontsize=11.5, fontweight="bold"
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
    """Say what the marks mean in one line above the axes, where no data can be."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, borderaxespad=0.1, borderpad=0.2,
        columnspacing=1.6, handletextpad=0.6,
    )  # fmt: skip


@styled
def nothing(title: str, reason: str) -> Figure:
    """Return a figure that says in words why there is nothing to draw."""
    figure, (axes,) = canvas(title, 1.5, top=0.45, bottom=0.2)
    axes.set_axis_off()
    say(axes, reason)
    return figure


def say(axes: Axes, text: str) -> None:
    """Write in the middle of axes without data, where no tick may suggest a value."""
    axes.set(xticks=[], yticks=[])
    axes.text(
        0.5, 0.5, plain(text), transform=axes.transAxes, ha="center", va="center",
        fontsize=11, color=MUTED, style="italic",
    )  # fmt: skip


def png(figure: Figure) -> bytes:
    """Return the figure as PNG bytes of 128 colours, equal for equal figures."""
    agg = FigureCanvasAgg(figure)
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # A symbol or feature may be named in a script that the font lacks: boxes, not a failure.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        agg.draw()
    drawn = Image.fromarray(np.asarray(agg.buffer_rgba())[..., :3])
    # Lines on white need no more colours, and are written in a third of the time and bytes.
    few = drawn.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    # Averaged colours leave the background one step from white, a tint beside the page's own.
    palette = np.array(few.getpalette(), dtype=np.uint8).reshape(-1, 3)
    palette[(palette >= 254).all(axis=1)] = 255
    few.putpalette(palette.tobytes())
    out = io.BytesIO()
    few.save(out, "png")
    return out.getvalue()


def plain(text: str, longest: int = 80) -> str:
    """Return text as it will be read: one line, not too long, and dollars are no formula."""
    line = " ".join(text.split())
    line = line if len(line) <= longest else line[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return line.replace("$", r"\$")


def figure_of(row: Mapping[str, Any], name: str) -> float:
    """Return a number of the evidence; NaN where it is null or was never written."""
    value = row.get(name)
    return math.nan if value is None else float(value)


def columns(rows: Iterable[Mapping[str, Any]], *names: str) -> tuple[FloatArray, ...]:
    """Return one float64 array for each name, with NaN as in `figure_of`."""
    table = [[figure_of(row, name) for name in names] for row in rows]
    return tuple(np.array(table, dtype=np.float64).reshape(-1, len(names)).T)


def words(value: float, form: str = ".2f") -> str:
    """Return a number with a minus sign as wide as the plus; ``undefined`` for NaN."""
    if not math.isfinite(value):
        return "undefined"
    return format(value, form).replace("-", "\N{MINUS SIGN}")


def undefined_because(evidence: Mapping[str, Any]) -> str:
    """Return why a headline has no value: it never traded, or nobody measured it."""
    return "never traded" if evidence["metrics"].get("n_trades") == 0 else "not measured"
