"""MLflow's server on PostgreSQL: commands work through it, and a real browser opens their links."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mlflow.entities import Run
from playwright.sync_api import Locator, Page, expect

from scripts.browser import PATIENCE_MS, close_assistant, find_chromium, open_browser

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

expect.set_options(timeout=PATIENCE_MS)


@dataclass(frozen=True)
class Site:
    """A server with two candidates of EURUSD and one of another symbol, and the printed links."""

    address: str
    place: Any
    train_link: str
    compare_link: str

    @property
    def candidates(self) -> list[Run]:
        """Those of EURUSD, the newest first."""
        return [run for run in self.place.runs() if run.data.tags.get("symbol") == "EURUSD"]


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    make_workspace: Any,
    serve: Callable[..., str],
    copy_postgres: Callable[[], str],
) -> Site:
    folder = tmp_path_factory.mktemp("site")
    tools = Path(sys.executable).parent
    address = serve(
        [
            str(tools / "mlflow"), "server", "--backend-store-uri", copy_postgres(),
            "--artifacts-destination", str(folder / "artifacts"), "--workers", "1",
        ],
        {
            **os.environ,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        "/health",
    )  # fmt: skip
    place = make_workspace(folder, address)
    trained = place.train_quickly()
    assert trained.returncode == 0, trained.stdout + trained.stderr
    # MLflow prints a link to each run that ends; the table, and one link, are below.
    assert trained.stdout.startswith("lightgbm-EURUSD: version 1 after ")
    assert len(re.findall("https?://", trained.stdout)) == 1
    assert trained.stderr == ""
    trained_again = place.train_quickly("--seed", "7", "--param", "lightgbm.num_leaves=7")
    assert trained_again.returncode == 0, trained_again.stdout + trained_again.stderr
    place.client.set_registered_model_alias("lightgbm-EURUSD", "champion", "2")
    experiment = place.client.get_experiment_by_name("barwright").experiment_id
    other = place.client.create_run(
        experiment,
        run_name="lightgbm-OTHER",
        tags={"kind": "candidate", "model": "lightgbm", "symbol": "OTHER"},
    )
    place.client.set_terminated(other.info.run_id)
    compared = place.run("-m", "trainer", "compare", "--symbols", "EURUSD")
    assert compared.returncode == 0, compared.stdout + compared.stderr
    return Site(
        address, place, _link("compare: ", trained_again.stdout), _link("Charts: ", compared.stdout)
    )


def _link(before: str, printed: str) -> str:
    (link,) = re.findall(rf"{before}(\S+)$", printed, re.MULTILINE)
    return str(link)


@pytest.fixture(scope="module")
def asked() -> list[str]:
    """Addresses that the browser asked in this module's tests."""
    return []


@pytest.fixture(scope="module")
def browser(site: Site, asked: list[str]) -> Iterator[Page]:
    with open_browser() as page:
        page.on("request", lambda request: asked.append(request.url))
        close_assistant(page, site.address)
        yield page


@pytest.fixture
def page(browser: Page) -> Page:
    # Another fragment alone would not load the page anew.
    browser.goto("about:blank")
    return browser


def chart(page: Page, metric: str) -> Locator:
    """Ask for a metric's chart as a person does, and return its card."""
    page.get_by_placeholder("Search metric charts").fill(metric)
    card = page.get_by_test_id("experiment-view-compare-runs-card")
    return card.filter(has=page.get_by_text(metric, exact=True))


def row_of(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_text(name, exact=True))


def test_versions_that_were_trained_through_the_server_trade_through_it(site: Site) -> None:
    assert site.train_link.startswith(f"{site.address}/#/experiments/")
    assert site.place.versions("lightgbm-EURUSD") == ["1", "2"]
    uri = "models:/lightgbm-EURUSD@latest"
    traded = site.place.trade("--model", uri, "--source", "sample")
    assert traded.returncode == 0, traded.stderr
    assert "version 2" in traded.stdout


def test_the_link_of_train_lists_every_candidate_and_draws_their_metrics(
    page: Page, site: Site
) -> None:
    page.goto(site.train_link)
    expect(page.get_by_text("3 matching runs")).to_be_visible()
    expect(page.get_by_role("link", name="lightgbm-EURUSD")).to_have_count(2)
    expect(page.get_by_role("link", name="lightgbm-OTHER")).to_have_count(1)
    traded = [run for run in site.candidates if "wf_net_sharpe" in run.data.metrics]
    assert traded, "neither candidate traded: choose other settings, this test is about its chart"
    sharpe = chart(page, "wf_net_sharpe")
    expect(sharpe.locator(".bars .point path")).to_have_count(len(traded))
    for run in traded:
        expect(sharpe).to_contain_text(f"{run.data.metrics['wf_net_sharpe']:.2f}")


def test_the_link_of_compare_is_narrowed_and_draws_a_curve_a_candidate(
    page: Page, site: Site
) -> None:
    page.goto(site.compare_link)
    expect(page.get_by_text("2 matching runs")).to_be_visible()
    expect(page.get_by_role("link", name="lightgbm-OTHER")).to_have_count(0)
    expect(chart(page, "wf_log_loss").locator(".bars .point path")).to_have_count(2)
    folds = chart(page, "fold/log_loss")
    expect(folds.locator(".points path")).to_have_count(4)  # two folds a candidate


def test_a_metric_can_be_a_column_of_the_table(page: Page, site: Site) -> None:
    page.goto(site.compare_link.replace("compareRunsMode=CHART", "compareRunsMode=TABLE"))
    expect(page.get_by_text("2 matching runs")).to_be_visible()
    page.get_by_role("button", name="Columns", exact=True).click()
    page.get_by_placeholder("Search columns").fill("wf_log_loss")
    page.get_by_role("dialog").get_by_text("wf_log_loss", exact=True).click()
    page.keyboard.press("Escape")
    cells = page.locator("[role=gridcell][col-id='metrics.`wf_log_loss`']")
    expect(cells).to_have_count(2)
    for run in site.candidates:
        shown = f"{run.data.metrics['wf_log_loss']:.3f}"
        expect(cells.filter(has_text=shown).first).to_be_visible()


def test_a_run_shows_its_metrics_and_its_note_in_markdown(page: Page, site: Site) -> None:
    run = site.candidates[0]
    page.goto(f"{site.address}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}")
    metric = row_of(page, "wf_log_loss")
    expect(metric).to_contain_text(f"{run.data.metrics['wf_log_loss']:.6f}")
    expect(page.get_by_role("cell", name="Sharpe (annual)")).to_be_visible()
    expect(page.get_by_text("EURUSD_1h").first).to_be_visible()


def test_a_version_shows_its_alias_and_its_description(page: Page, site: Site) -> None:
    page.goto(f"{site.address}/#/models/lightgbm-EURUSD/versions/2")
    expect(page.get_by_role("heading", name="Version 2")).to_be_visible()
    expect(page.get_by_text("champion")).to_be_visible()
    expect(page.get_by_role("cell", name="Sharpe (annual)")).to_be_visible()
    expect(row_of(page, "status")).to_contain_text(re.compile("proven|flat|trades"))


def test_a_model_lists_its_versions_with_their_aliases(page: Page, site: Site) -> None:
    page.goto(f"{site.address}/#/models/lightgbm-EURUSD")
    expect(row_of(page, "Version 2")).to_contain_text("champion")
    expect(row_of(page, "Version 1")).not_to_contain_text("champion")


def test_the_ui_asked_nobody_but_the_server(page: Page, site: Site, asked: list[str]) -> None:
    page.goto(site.compare_link)
    expect(page.get_by_text("2 matching runs")).to_be_visible()
    hosts = {urlsplit(url).netloc for url in asked if url.startswith(("http", "ws"))}
    assert hosts == {urlsplit(site.address).netloc}


def test_without_chromium_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RuntimeError, match="not found; on Debian: apt-get install chromium"):
        find_chromium()
