"""The example of docs/adapters.md passes the contract tests and trains when it is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the files that pip installs for the distribution of the page."""
    text = (ROOT / "docs" / "adapters.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (point,) = re.findall(r"^logistic = \"(.*)\"$", text, re.MULTILINE)
    folder = tmp_path_factory.mktemp("site")
    info = folder / "acme_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[barwright.adapters]\nlogistic = {point}\n")
    (folder / "acme_models.py").write_text(code)
    return folder


def run(installed: Path, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(installed), str(ROOT)])
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": path, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_example_passes_the_contract_tests(installed: Path) -> None:
    suite = "tests/adapters/test_contract.py"
    done = run(installed, "-m", "pytest", suite, "-k", "logistic", "-q", "-p", "no:xdist", cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b4\d passed", done.stdout), done.stdout


@pytest.mark.slow
def test_the_example_trains_and_its_requirements_name_its_distribution(
    installed: Path, tmp_path: Path
) -> None:
    options = [
        "--symbols",
        "EURUSD",
        "--source",
        "sample",
        "--models",
        "logistic",
        "--n-splits",
        "2",
        "--wf-splits",
        "2",
    ]
    done = run(installed, "-m", "trainer", "train", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "logistic-EURUSD" in done.stdout
    (requirements,) = tmp_path.rglob("requirements.txt")
    assert "acme-models==1.0" in requirements.read_text().split()
    assert any(line.startswith("scikit-learn==") for line in requirements.read_text().split())
