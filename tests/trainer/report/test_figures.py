"""All figures of a candidate: names, order, sizes, and workers without a screen."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from trainer.report.figures import figures

Candidate = tuple[dict[str, Any], pd.DataFrame]
NAMES = ["equity", "costs", "dispersion", "null", "regimes", "reliability", "thresholds",
         "importance"]  # fmt: skip


def test_each_figure_is_a_small_png_in_reading_order(candidate: Candidate) -> None:
    evidence, series = candidate
    found = figures(evidence, series)
    assert list(found) == NAMES
    for content in found.values():
        assert len(content) < 100_000
        with Image.open(io.BytesIO(content)) as image:
            assert (image.format, image.width) == ("PNG", 792)
            # Something is drawn, and it is not all of it.
            dark = np.asarray(image.convert("L")) < 200
            assert 0.001 < dark.mean() < 0.5


def test_long_and_wild_series_stay_small(candidate: Candidate) -> None:
    evidence, _ = candidate
    rng = np.random.default_rng(0)
    n = 60_000
    series = pd.DataFrame(
        {
            "timestamp": pd.date_range("2017-01-01", periods=n, freq="h", tz="UTC"),
            "position": rng.integers(-1, 2, n).astype(float),
            "forward_return": rng.normal(0.0, 0.01, n),
        }
    )
    assert len(figures(evidence, series)["equity"]) < 100_000


def test_a_flat_candidate_has_its_figures_but_no_null(flat_candidate: Candidate) -> None:
    assert list(figures(*flat_candidate)) == [name for name in NAMES if name != "null"]


def test_a_candidate_of_which_nothing_is_known(candidate: Candidate) -> None:
    evidence, series = candidate
    for key, value in evidence.items():
        if isinstance(value, list):
            evidence[key] = []
    evidence |= {"threshold": None, "metrics": dict.fromkeys(evidence["metrics"])}
    assert len(figures(evidence, series.iloc[:0])) == len(NAMES) - 1


def test_the_same_candidate_has_the_same_bytes(candidate: Candidate) -> None:
    assert figures(*candidate) == figures(*candidate)


def test_neither_pyplot_nor_mlflow_is_needed() -> None:
    code = (
        "import sys, trainer.report.figures, trainer.report.page; "
        "print([n for n in ('matplotlib.pyplot', 'mlflow', 'click', 'torch', 'tkinter') "
        "if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
