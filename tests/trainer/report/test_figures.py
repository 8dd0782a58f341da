"""The figures of a page: names, order, sizes, captions, imports."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from trainer.report.figures import FIGURES, draw_figures
from trainer.report.page import Page
from trainer.report.report_figure import ReportFigure

Candidate = tuple[dict[str, Any], pd.DataFrame]
NAMES = ["equity", "costs", "dispersion", "null", "regimes", "reliability", "thresholds",
         "importance"]  # fmt: skip


each_figure = pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)


def draw(candidate: Candidate) -> dict[str, bytes]:
    content, series = candidate
    return draw_figures(Page.from_json(content), series)


@each_figure
def test_a_caption_is_one_sentence_on_what_is_shown_and_what_is_not(figure: ReportFigure) -> None:
    assert figure.caption.startswith("Shows ")
    assert "does not show" in figure.caption
    assert figure.caption.count(". ") == 0
    assert figure.caption.endswith(".")


def test_each_figure_is_a_small_png_in_reading_order(candidate: Candidate) -> None:
    pngs = draw(candidate)
    assert list(pngs) == NAMES
    for content in pngs.values():
        assert len(content) < 100_000
        with Image.open(io.BytesIO(content)) as image:
            assert (image.format, image.width) == ("PNG", 792)
            # Something is drawn, and the rest is white.
            dark = np.asarray(image.convert("L")) < 200
            assert 0.001 < dark.mean() < 0.5


def test_long_and_wild_series_stay_small(candidate: Candidate) -> None:
    content, _ = candidate
    rng = np.random.default_rng(0)
    n = 60_000
    series = pd.DataFrame(
        {
            "timestamp": pd.date_range("2017-01-01", periods=n, freq="h", tz="UTC"),
            "position": rng.integers(-1, 2, n).astype(float),
            "forward_return": rng.normal(0.0, 0.01, n),
        }
    )
    assert len(draw((content, series))["equity"]) < 100_000


def test_a_flat_candidate_has_its_figures_but_no_null(flat_candidate: Candidate) -> None:
    assert list(draw(flat_candidate)) == [name for name in NAMES if name != "null"]


def test_a_candidate_of_which_nothing_is_known(candidate: Candidate) -> None:
    content, series = candidate
    for key, value in content.items():
        if isinstance(value, list):
            content[key] = []
    content |= {"threshold": None, "metrics": dict.fromkeys(content["metrics"])}
    assert len(draw((content, series.iloc[:0]))) == len(NAMES) - 1


def test_the_same_candidate_has_the_same_bytes(candidate: Candidate) -> None:
    assert draw(candidate) == draw(candidate)


def test_neither_pyplot_nor_mlflow_is_needed() -> None:
    code = (
        "import sys, trainer.report.figures, trainer.report.html; "
        "print([n for n in ('matplotlib.pyplot', 'mlflow', 'click', 'torch', 'tkinter') "
        "if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        ("trainer.report.page, trainer.report.markdown", ("matplotlib", "PIL", "jinja2")),
        ("trainer.report.html", ("matplotlib", "PIL")),
    ],
)
def test_only_drawing_needs_matplotlib(modules: str, unwanted: tuple[str, ...]) -> None:
    code = f"import sys, {modules}; print([n for n in {unwanted} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
