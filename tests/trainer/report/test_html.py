"""The HTML page: order of the sections, texts, escaping, and no link to another file."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from trainer.evidence.verdict import Criterion, Verdict
from trainer.report.figures import FIGURES, draw_figures
from trainer.report.html import candidate_report, report_html
from trainer.report.page import Page
from trainer.report.plotting import empty_figure, png_bytes

Candidate = tuple[dict[str, Any], pd.DataFrame]
VOID = {"meta", "img", "br", "link", "input", "hr"}
CRITERIA = [
    Criterion("DSR", "0.43", ">= 0.95", False, "46 trials"),
    Criterion("Trades", "66", ">= 30", True, "only written if it fails"),
]
#: PNG files that take no time to draw: the content of the figures has tests of its own.
PNGS = {f.name: png_bytes(empty_figure(f.name, "for the page")) for f in FIGURES}


class Html(HTMLParser):
    """Tags, attributes and text of an HTML page; its tags must balance."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
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
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def render(candidate: Candidate, criteria: list[Criterion] | None = None) -> Html:
    content, _ = candidate
    pngs = {n: p for n, p in PNGS.items() if n != "null" or content["null_net_sharpe"]}
    facts = {"run": "abc123", "trials counted": "46"}
    return Html(report_html(Page.from_json(content), pngs, criteria or [], facts))


def test_sections_come_in_their_order(candidate: Candidate) -> None:
    html = render(candidate, CRITERIA)
    assert [a["id"] for a in html.all("section")] == [
        "verdict", "headline", "equity", "costs", "dispersion", "null", "regimes", "reliability",
        "thresholds", "importance", "search", "tested",
    ]  # fmt: skip
    assert len(html.all("h1")) == 1
    assert len(html.all("figure")) == len(html.all("figcaption")) == len(html.all("img")) == 9
    for image in html.all("img"):
        assert image["alt"]
        assert image["width"] == "792"


def test_the_page_loads_no_other_file(candidate: Candidate) -> None:
    content, series = candidate
    page = Page.from_json(content)
    text = report_html(page, draw_figures(page, series), CRITERIA, {})
    html = Html(text)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in html.tags}
    for tag, attributes in html.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), tag
            if name in ("src", "href", "srcset", "action", "data"):
                assert (value or "").startswith("data:image/png;base64,")
    without_images = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?:|//\w|url\(|@import", without_images)
    policy = {a.get("http-equiv"): a.get("content") for a in html.all("meta")}
    assert str(policy["Content-Security-Policy"]).startswith("default-src 'none'")


def test_every_text_is_escaped(candidate: Candidate) -> None:
    content, _ = candidate
    evil = "<script>alert('x')</script>\"&"
    content |= {"symbol": evil, "model": evil, "understood": evil, "interval": evil}
    content["regimes"][0]["name"] = evil
    content["importance"][0]["feature"] = evil
    criteria = [Criterion(evil, evil, evil, False, evil)]
    html = Html(report_html(Page.from_json(content), PNGS, criteria, {evil: evil}))
    assert "script" not in {tag for tag, _ in html.tags}
    assert html.text.count(evil) >= 12
    assert f"{evil}-{evil}: candidate report" in html.text


def test_the_gate_is_shown_with_values_rules_and_reasons(candidate: Candidate) -> None:
    text = render(candidate, CRITERIA).text
    assert "46 trials" in text  # why it failed
    assert "only written if it fails" not in text
    assert "Unproven: 1 of 2 criteria fail" in text
    assert "Fails: DSR." in text
    for word in ("DSR", "0.43", ">= 0.95", "\N{BALLOT X} fail", "46 trials"):
        assert word in text
    assert text.count("\N{CHECK MARK} pass") == 1
    assert text.index("Unproven") < text.index("Headline") < text.index("Equity of the")


def test_all_criteria_passed(candidate: Candidate) -> None:
    text = render(candidate, [replace(c, passed=True) for c in CRITERIA]).text
    assert "\N{CHECK MARK} Proven: all 2 criteria pass" in text
    assert "\N{BALLOT X}" not in text


@pytest.mark.parametrize("passed", [None, "yes", 1, False])
def test_a_criterion_that_is_not_exactly_true_failed(candidate: Candidate, passed: Any) -> None:
    text = render(candidate, [replace(CRITERIA[1], passed=passed)]).text
    assert "1 of 1 criteria fail" in text


def test_no_gate_is_no_pass(candidate: Candidate) -> None:
    text = render(candidate).text
    assert "Not judged: no criteria were applied" in text
    assert "Its status is unproven." in text
    assert "\N{CHECK MARK}" not in text


def test_the_headline_is_the_walk_forward_with_its_interval(candidate: Candidate) -> None:
    text = render(candidate).text
    assert "1.25 net Sharpe ratio, annualised; 95 % confidence interval -0.50 to 3.00" in text
    assert "luck, good or bad, cannot be ruled out" in text
    assert "Sharpe ratio 1.25 0.75 0.25 undefined" in re.sub(r"\s+", " ", text)
    for value in ("12,346", "0.900", "abc123", "9,000 rows, times in UTC"):
        assert value in text


@pytest.mark.parametrize(
    ("low", "high", "meaning"),
    [
        (0.1, 2.0, "lies above 0. It is computed as if this were the only trial"),
        (0.0, 2.0, "includes 0"),
        (-2.0, 0.0, "includes 0"),
        (-2.0, -0.1, "lies below 0"),
        (None, 1.0, "Without a confidence interval"),
    ],
)
def test_what_a_confidence_interval_means(
    candidate: Candidate, low: float | None, high: float, meaning: str
) -> None:
    candidate[0]["metrics"] |= {"net_sharpe_lower": low, "net_sharpe_upper": high}
    assert meaning in render(candidate).text


def test_baselines_stand_beside_the_headline_with_their_differences(candidate: Candidate) -> None:
    candidate[0]["metrics"] |= {
        "momentum_sharpe": 0.6, "momentum_return": 0.125, "hold_beta": 0.4, "appraisal_ratio": 0.9,
        "less_hold": 1.0, "less_hold_lower": -0.2, "less_hold_upper": 2.1,
        "less_momentum": 0.65, "less_momentum_lower": -0.5, "less_momentum_upper": 1.7,
    }  # fmt: skip
    text = re.sub(r"\s+", " ", render(candidate).text)
    assert "net gross buy and hold 30-day momentum flat" in text
    assert "Sharpe ratio 1.25 0.75 0.25 0.60 undefined" in text
    assert "net less this baseline (95 %) +1.00 (-0.20 to +2.10) +0.65 (-0.50 to +1.70)" in text
    assert "beta to buy and hold 0.40 appraisal ratio 0.90" in text
    assert "position rule threshold" in text


def test_a_page_of_an_earlier_version_has_no_baselines(candidate: Candidate) -> None:
    text = re.sub(r"\s+", " ", render(candidate).text)
    assert "net less this baseline (95 %) undefined (undefined to undefined)" in text


def test_no_number_of_bars_is_enough_for_a_loss(candidate: Candidate) -> None:
    candidate[0]["metrics"] |= {"net_sharpe": -0.5, "min_track_record": None}
    assert "no number is enough" in render(candidate).text


@pytest.mark.parametrize(
    ("bps", "expected"), [(3.0, "3.0"), (-12.1, "none: it loses before costs")]
)
def test_a_model_that_loses_before_costs_has_no_break_even_costs(
    candidate: Candidate, bps: float, expected: str
) -> None:
    candidate[0]["metrics"]["break_even_bps"] = bps
    assert f"break-even costs, bps a side {expected}" in render(candidate).text


def test_a_flat_candidate_is_called_flat_and_undefined(flat_candidate: Candidate) -> None:
    text = render(flat_candidate, CRITERIA).text
    assert "\N{BALLOT X} Flat: this model does not trade" in text
    assert "The walk-forward never traded: there is nothing to judge." in text
    assert "undefined net Sharpe ratio" in text
    assert " nan" not in text.lower()
    assert "None" not in text
    assert "no number is enough" not in text
    assert "Comparison with null runs Not measured: train with --null-runs 20" in text


def test_a_status_may_be_absent(candidate: Candidate) -> None:
    del candidate[0]["status"]
    assert "Its status" not in render(candidate).text


def test_the_page_has_the_dates_of_the_walk_forward_instead_of_those_of_the_bars(
    candidate: Candidate,
) -> None:
    content, _ = candidate
    blocks = content["blocks"]
    text = render(({**content, "first": "1999-01-01", "last": "1999-02-01"}, candidate[1])).text
    assert f"walk-forward {blocks[0]['first'][:10]} to {blocks[-1]['last'][:10]}" in text


def test_a_flat_candidate_is_flat_whatever_its_criteria(candidate: Candidate) -> None:
    reason = "out of fold, no threshold paid for its costs"
    candidate[0].update(threshold=None, status="flat", flat_because=reason)
    passing = [replace(c, passed=True) for c in CRITERIA]
    text = render(candidate, passing).text
    assert "Flat: this model does not trade" in text
    assert f"Its threshold is \u201cdo not trade\u201d: {reason}." in text
    assert "Proven" not in text
    text = render(candidate).text
    assert "Not judged: no criteria were applied Its status is flat." in text


def test_the_page_contains_how_the_bars_were_read(candidate: Candidate) -> None:
    assert (
        "bars were read as BTCUSDT_1h.parquet: 9,000 rows, times in UTC" in render(candidate).text
    )
    candidate[0]["understood"] = ""
    assert "bars were read as not recorded" in render(candidate).text


def test_what_was_tested_has_the_settings_and_the_rule(candidate: Candidate) -> None:
    page = Page.from_json(candidate[0])

    def text_of(page: Page) -> str:
        verdict = Verdict("unproven", "46 trials", CRITERIA)
        return Html(candidate_report(page, PNGS, verdict, {"trials": 46.0}, {})).text

    assert "label kind direction" in text_of(page)
    assert "settings that differ" not in text_of(page)
    chosen = text_of(replace(page, settings="position=exit horizon=3"))
    assert "settings that differ from the defaults position=exit horizon=3" in chosen
    contract = replace(page.contract, position="break-even")
    entered = "threshold in production none: it enters where the expected move pays for its costs"
    assert entered in text_of(replace(page, contract=contract))
    flat = replace(page.evidence, threshold=None)
    assert "threshold in production do not trade" in text_of(
        replace(page, contract=contract, evidence=flat)
    )


def test_a_model_of_made_up_bars_says_so_at_the_top(candidate: Candidate) -> None:
    from features.sources import open_source

    assert "made up, no market" not in render(candidate).text
    candidate[0]["understood"] = open_source("synthetic").read("SYNTHETIC", "1h").understood
    before, _, _ = render(candidate).text.partition("criterion value rule")
    assert "SYNTHETIC bars with a planted pattern: made up, no market." in before


def test_the_report_on_a_candidate_has_its_verdict_and_its_trials(candidate: Candidate) -> None:
    page = Page.from_json(candidate[0])
    verdict = Verdict("unproven", "46 trials", CRITERIA)
    about = {"version": "gru-BTCUSDT version 3"}
    text = Html(candidate_report(page, PNGS, verdict, {"trials": 46.0}, about)).text
    assert "Unproven: 1 of 2 criteria fail" in text
    assert "version gru-BTCUSDT version 3" in text
    assert "trials 46 of this symbol in the experiment" in text
