"""The page: verdict first, every section, everything escaped, nothing from anywhere else."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from trainer.report.figures import figures
from trainer.report.page import html
from trainer.report.plotting import nothing, png
from trainer.report.sections import SECTIONS

Candidate = tuple[dict[str, Any], pd.DataFrame]
VOID = {"meta", "img", "br", "link", "input", "hr"}
CRITERIA = [
    {"name": "DSR", "figure": "0.43", "rule": ">= 0.95", "passed": False, "why": "46 trials"},
    {"name": "Trades", "figure": "66", "rule": ">= 30", "passed": True, "why": "only said if not"},
]


# Real pictures, but quick ones: what is in them is tested with the figures.
PICTURES = {name: png(nothing(name, "for the page")) for name in SECTIONS}


class Page(HTMLParser):
    """Tags, attributes and text of a page whose tags must balance."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(candidate: Candidate, criteria: list[dict[str, Any]] | None = None) -> Page:
    evidence, _ = candidate
    pictures = {n: p for n, p in PICTURES.items() if n != "null" or evidence["null_net_sharpe"]}
    facts = {"run": "abc123", "trials counted": "46"}
    return Page(html(evidence, pictures, criteria or [], facts))


def test_sections_come_in_the_order_of_doubt(candidate: Candidate) -> None:
    found = page(candidate, CRITERIA)
    assert [a["id"] for a in found.all("section")] == [
        "verdict", "headline", "equity", "costs", "dispersion", "null", "regimes", "reliability",
        "thresholds", "importance", "tested",
    ]  # fmt: skip
    assert len(found.all("h1")) == 1
    assert len(found.all("figure")) == len(found.all("figcaption")) == len(found.all("img")) == 8
    for image in found.all("img"):
        assert image["alt"]
        assert image["width"] == "792"


def test_nothing_comes_from_anywhere_else(candidate: Candidate) -> None:
    evidence, series = candidate
    text = html(evidence, figures(evidence, series), CRITERIA, {})
    found = Page(text)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in found.tags}
    for tag, attributes in found.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), tag
            if name in ("src", "href", "srcset", "action", "data"):
                assert (value or "").startswith("data:image/png;base64,")
    without_pictures = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?:|//\w|url\(|@import", without_pictures)
    policy = {a.get("http-equiv"): a.get("content") for a in found.all("meta")}
    assert str(policy["Content-Security-Policy"]).startswith("default-src 'none'")


def test_every_text_is_escaped(candidate: Candidate) -> None:
    evidence, _ = candidate
    evil = "<script>alert('x')</script>\"&"
    evidence |= {"symbol": evil, "model": evil, "understood": evil, "interval": evil}
    evidence["regimes"][0]["name"] = evil
    evidence["importance"][0]["feature"] = evil
    criteria = [{"name": evil, "figure": evil, "rule": evil, "passed": False, "why": evil}]
    text = html(evidence, PICTURES, criteria, {evil: evil})
    found = Page(text)
    assert "script" not in {tag for tag, _ in found.tags}
    assert found.text.count(evil) >= 12
    assert f"{evil}-{evil}: candidate report" in found.text


def test_the_gate_is_shown_with_figures_rules_and_reasons(candidate: Candidate) -> None:
    found = page(candidate, CRITERIA).text
    assert "46 trials" in found  # why it failed
    assert "only said if not" not in found
    assert "Does not pass: 1 of 2 criteria fail" in found
    assert "Fails: DSR." in found
    for word in ("DSR", "0.43", ">= 0.95", "\N{BALLOT X} fail", "46 trials"):
        assert word in found
    assert found.count("\N{CHECK MARK} pass") == 1
    assert found.index("Does not pass") < found.index("Headline") < found.index("What it would")


def test_all_criteria_passed(candidate: Candidate) -> None:
    found = page(candidate, [{**c, "passed": True} for c in CRITERIA]).text
    assert "\N{CHECK MARK} Passes all 2 criteria" in found
    assert "\N{BALLOT X}" not in found


@pytest.mark.parametrize("passed", [None, "yes", 1, False])
def test_whatever_is_not_true_failed(candidate: Candidate, passed: Any) -> None:
    found = page(candidate, [{**CRITERIA[1], "passed": passed}]).text
    assert "1 of 1 criteria fail" in found


def test_no_gate_is_no_pass(candidate: Candidate) -> None:
    found = page(candidate).text
    assert "Not judged: no criteria were applied" in found
    assert "Its status is unproven." in found
    assert "\N{CHECK MARK}" not in found


def test_the_headline_is_the_walk_forward_with_its_interval(candidate: Candidate) -> None:
    found = page(candidate).text
    assert "1.25 net Sharpe ratio, annualised; 95 % interval -0.50 to 3.00" in found
    assert "luck, good or bad, cannot be ruled out" in found
    assert "Sharpe ratio 1.25 0.75 0.25 undefined" in re.sub(r"\s+", " ", found)
    for value in ("12,346", "0.900", "abc123", "9,000 rows, times in UTC"):
        assert value in found


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 2.0, "lies above 0, as if this were the only model ever tried"),
        (0.0, 2.0, "includes 0"),
        (-2.0, 0.0, "includes 0"),
        (-2.0, -0.1, "lies below 0"),
        (None, 1.0, "Without an interval"),
    ],
)
def test_what_an_interval_means(
    candidate: Candidate, low: float | None, high: float, words: str
) -> None:
    candidate[0]["metrics"] |= {"net_sharpe_lower": low, "net_sharpe_upper": high}
    assert words in page(candidate).text


def test_no_length_of_record_would_do_for_a_loss(candidate: Candidate) -> None:
    candidate[0]["metrics"] |= {"net_sharpe": -0.5, "min_track_record": None}
    assert "no number would do" in page(candidate).text


@pytest.mark.parametrize(("bps", "shown"), [(3.0, "3.0"), (-12.1, "none: it loses before costs")])
def test_no_costs_break_even_where_it_loses_before_them(
    candidate: Candidate, bps: float, shown: str
) -> None:
    candidate[0]["metrics"]["break_even_bps"] = bps
    assert f"break-even costs, bps a side {shown}" in page(candidate).text


def test_a_flat_candidate_is_called_flat_and_undefined(flat_candidate: Candidate) -> None:
    found = page(flat_candidate, CRITERIA).text
    assert "This version is flat" in found
    assert "The walk-forward never traded: there is nothing to judge." in found
    assert "undefined net Sharpe ratio" in found
    assert " nan" not in found.lower()
    assert "None" not in found
    assert "no number would do" not in found
    assert "Could luck do the same? Not measured: train with --null-runs 20" in found


def test_a_status_may_be_absent(candidate: Candidate) -> None:
    del candidate[0]["status"]
    assert "Its status" not in page(candidate).text


def test_the_page_says_when_the_walk_forward_was_not_when_the_bars_began(
    candidate: Candidate,
) -> None:
    evidence, _ = candidate
    blocks = evidence["blocks"]
    text = page(({**evidence, "first": "1999-01-01", "last": "1999-02-01"}, candidate[1])).text
    assert f"walk-forward {blocks[0]['first'][:10]} to {blocks[-1]['last'][:10]}" in text
