"""Draw the pictures of docs/comparing.md, docs/evidence.md and README.md from real runs.

    python -m scripts.screenshots [FOLDER]     docs/images by default

The script trains LightGBM three times on the EURUSD bars of the sample, then runs the demo, in
folders that it removes at the end. It takes about two minutes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect

from scripts.browser import PATIENCE_MS, close_assistant, open_browser
from scripts.server import serve

ROOT = Path(__file__).resolve().parent.parent
_TRAIN = (
    "--symbols EURUSD --source sample --models lightgbm --horizon 3 --n-splits 3 --wf-splits 3 "
    "--slippage-bps 0"
)
#: Costs near 0: at the default costs nothing is traded. The last trial pays more than the others.
_TRIALS = (
    "--fee-bps 0 --seed 7 --param lightgbm.num_leaves=7",
    "--fee-bps 0 --seed 1 --param lightgbm.num_leaves=15",
    "--fee-bps 0.1 --seed 7 --param lightgbm.num_leaves=7",
)


def main(target: Path) -> None:
    """Write the pictures to `target`."""
    target.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=PATIENCE_MS)
    with (
        tempfile.TemporaryDirectory(prefix="barwright-screenshots-") as folder,
        _mlflow_server(Path(folder)) as address,
    ):
        for trial in _TRIALS:
            _barwright(folder, address, "train", *_TRAIN.split(), *trial.split())
        _python(
            folder,
            address,
            "from mlflow import MlflowClient; "
            "MlflowClient().set_registered_model_alias('lightgbm-EURUSD', 'challenger', '2')",
        )
        output = _barwright(folder, address, "compare", "--symbols", "EURUSD")
        print(output)
        (link,) = re.findall(r"^Charts: (\S+)$", output, re.MULTILINE)
        with open_browser(1400, 700) as page:
            close_assistant(page, address)
            _draw_charts(page, link, target)
            _draw_run(page, target)
            _draw_version(page, address, target)
        _draw_baselines(folder, address, target)
    _draw_demo(target)


def _draw_baselines(folder: str, address: str, target: Path) -> None:
    """Draw the headline of a report, with the baselines beside it."""
    _barwright(folder, address, "report", "models:/lightgbm-EURUSD/2", "--output", "report.html")
    with open_browser(1000, 1000) as page:
        page.goto(f"file://{folder}/report.html")
        expect(page.locator("#headline table")).to_be_visible()
        page.locator("#headline").screenshot(path=target / "baselines.png")


def _draw_demo(target: Path) -> None:
    """Draw the top of the report that `make demo` ends with."""
    with tempfile.TemporaryDirectory(prefix="barwright-screenshots-") as folder:
        environment = _environment("sqlite:///mlflow.db")
        script = [str(ROOT / "scripts" / "demo.sh"), f"{folder}/demo"]
        subprocess.run(script, env=environment, check=True)
        with open_browser(1000, 1000) as page:
            page.goto(f"file://{folder}/demo/report.html")
            expect(page.locator(".made-up")).to_be_visible()
            expect(page.get_by_text("all 7 criteria pass")).to_be_visible()
            page.screenshot(path=target / "demo.png")


def _draw_charts(page: Page, link: str, target: Path) -> None:
    page.goto(link)
    expect(page.get_by_text("3 matching runs")).to_be_visible()
    search = page.get_by_placeholder("Search metric charts")
    cards = page.get_by_test_id("experiment-view-compare-runs-card")
    for name, metrics, marks in (
        ("charts", "^wf_(net_sharpe|net_sharpe_lower|n_trades)$", ".bars"),
        ("folds", "^fold/(log_loss|roc_auc|net_sharpe)$", ".scatterlayer"),
    ):
        search.fill(metrics)
        expect(cards).to_have_count(3)
        for card in cards.all():
            expect(card.locator(f"{marks} .point, {marks} .js-line").first).to_be_visible()
        page.screenshot(path=target / f"{name}.png")


def _draw_run(page: Page, target: Path) -> None:
    page.get_by_role("link", name="lightgbm-EURUSD").first.click()
    expect(page.get_by_role("cell", name="Sharpe (annual)")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="wf_net_sharpe").first).to_be_visible()
    page.screenshot(path=target / "run.png")


def _draw_version(page: Page, address: str, target: Path) -> None:
    page.goto(f"{address}/#/models/lightgbm-EURUSD/versions/2")
    expect(page.get_by_text("challenger")).to_be_visible()
    expect(page.get_by_role("cell", name="Sharpe (annual)")).to_be_visible()
    page.screenshot(path=target / "version.png")


def _environment(address: str) -> dict[str, str]:
    return {
        **os.environ,
        "MLFLOW_TRACKING_URI": address,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def _barwright(folder: str, address: str, *arguments: str) -> str:
    return _command(folder, address, "-m", "trainer", *arguments)


def _python(folder: str, address: str, code: str) -> str:
    return _command(folder, address, "-c", code)


def _command(folder: str, address: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=_environment(address),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


@contextmanager
def _mlflow_server(folder: Path) -> Iterator[str]:
    """Run an MLflow server on a free port; yield its address."""
    command = [
        "mlflow", "server", "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    # The server itself does not read the tracking URI of its clients.
    with serve(command, _environment(""), "/health", folder / "server.log") as address:
        yield address


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
