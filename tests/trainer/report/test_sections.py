"""The section of a figure: its picture inside the page, its texts, its table."""

from __future__ import annotations

import base64
from typing import Any

import pandas as pd
import pytest

from trainer.report.figures import FIGURES
from trainer.report.page import Page
from trainer.report.plotting import empty_figure, png_bytes
from trainer.report.report_figure import ReportFigure
from trainer.report.sections import Section, section

Candidate = tuple[dict[str, Any], pd.DataFrame]
PNG = png_bytes(empty_figure("x", "y"))
each_figure = pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)


def sections(candidate: Candidate) -> dict[str, Section]:
    page = Page.from_json(candidate[0])
    return {figure.name: section(figure, page, PNG) for figure in FIGURES}


@each_figure
def test_a_figure_comes_with_its_size_and_a_text(
    figure: ReportFigure, candidate: Candidate
) -> None:
    image = sections(candidate)[figure.name].image
    assert image is not None
    head, _, data = image.source.partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == PNG
    assert (image.width, image.height) == (792, 165)
    assert len(image.alt) > 20


@each_figure
def test_texts_and_values_of_a_flat_candidate(
    figure: ReportFigure, flat_candidate: Candidate
) -> None:
    flat = sections(flat_candidate)[figure.name]
    assert flat.image is not None
    assert "nan" not in flat.image.alt.lower()
    assert "None" not in flat.image.alt + str(flat.table)


def test_a_figure_that_is_missing_has_no_image(candidate: Candidate) -> None:
    (null,) = [figure for figure in FIGURES if figure.name == "null"]
    assert section(null, Page.from_json(candidate[0]), None).image is None


def test_alternative_texts_contain_the_values_of_the_figure(candidate: Candidate) -> None:
    def alt(name: str) -> str:
        image = sections(candidate)[name].image
        assert image is not None
        return image.alt

    assert "by block: 0: -0.50, 1: 0.50, 2: 1.50" in alt("dispersion")
    assert "0.50, 1.00, undefined, 1.50, 2.00" in alt("dispersion")
    assert "4 null runs: -1.00 to 2.00" in alt("null")
    assert "low: 1.00, 2023: 2.00" in alt("regimes")
    assert "chosen: 0.5200" in alt("thresholds")
    assert "f_0: 0.003" in alt("importance")


def test_fold_columns_are_named_as_selection(candidate: Candidate) -> None:
    first, *others = sections(candidate)["thresholds"].table.headings
    assert first == "selection fold"
    assert all(name.startswith("val_") for name in others)


def test_a_table_has_one_row_for_each_row_of_the_evidence(candidate: Candidate) -> None:
    tables = {name: part.table for name, part in sections(candidate).items()}
    assert {name: len(table.rows) for name, table in tables.items()} == {
        "equity": 3, "costs": 4, "dispersion": 0, "null": 0, "regimes": 2, "reliability": 2,
        "thresholds": 3, "importance": 25, "search": 0,
    }  # fmt: skip
    assert tables["costs"].rows[3] == ("3", "4.5", "-1.00", "+10.0%")
    assert tables["equity"].rows[1][5:8] == ("0.5200", "0.50", "0.75")
    candidate[0]["blocks"][1]["threshold"] = None
    assert sections(candidate)["equity"].table.rows[1][5] == "do not trade"
