"""Each section's limits, its numbers, and its words for who cannot see the figure."""

from __future__ import annotations

import base64
from typing import Any

import pandas as pd
import pytest

from trainer.report.plotting import nothing, png
from trainer.report.sections import SECTIONS, cell, section

Candidate = tuple[dict[str, Any], pd.DataFrame]


@pytest.mark.parametrize("name", SECTIONS)
def test_a_caption_is_one_sentence_on_what_is_shown_and_what_is_not(name: str) -> None:
    _, caption = SECTIONS[name]
    assert caption.startswith("Shows ")
    assert "does not show" in caption
    assert caption.count(". ") == 0
    assert caption.endswith(".")


@pytest.mark.parametrize("name", SECTIONS)
def test_a_figure_comes_with_its_size_and_words(name: str, candidate: Candidate) -> None:
    picture = png(nothing("x", "y"))
    found = section(name, candidate[0], {name: picture})
    head, _, data = found["source"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == picture
    assert (found["width"], found["height"]) == (792, 165)
    assert len(found["alt"]) > 20


@pytest.mark.parametrize("name", SECTIONS)
def test_words_and_numbers_of_a_flat_candidate(name: str, flat_candidate: Candidate) -> None:
    found = section(name, flat_candidate[0], {name: png(nothing("x", "y"))})
    assert "nan" not in found["alt"].lower()
    assert "None" not in found["alt"] + str(found["table"])


def test_a_figure_that_is_missing_has_no_source(candidate: Candidate) -> None:
    assert section("null", candidate[0], {})["source"] == ""


def test_words_carry_the_values_of_the_figure(candidate: Candidate) -> None:
    picture = png(nothing("x", "y"))

    def alt(name: str) -> str:
        return section(name, candidate[0], {name: picture})["alt"]

    assert "by block: 0: -0.50, 1: 0.50, 2: 1.50" in alt("dispersion")
    assert "0.50, 1.00, undefined, 1.50, 2.00" in alt("dispersion")
    assert "4 null runs: -1.00 to 2.00" in alt("null")
    assert "low: 1.00, 2023: 2.00" in alt("regimes")
    assert "chosen: 0.5200" in alt("thresholds")
    assert "f_0: 0.003" in alt("importance")


def test_fold_columns_say_that_they_selected(candidate: Candidate) -> None:
    first, *others = section("thresholds", candidate[0], {})["table"]["headings"]
    assert first == "selection fold"
    assert all(name.startswith("val_") for name in others)


def test_a_cell_in_words() -> None:
    row = {"a": 0.12345, "b": None, "threshold": None, "inf": float("inf"), "text": "x"}
    assert cell(row, "a", "+.1%") == "+12.3%"
    assert cell(row, "b", ".2f") == cell(row, "c", "s") == cell(row, "inf", ".0f") == "undefined"
    assert cell(row, "threshold", ".2f") == "do not trade"
    assert cell(row, "text", "s") == "x"
