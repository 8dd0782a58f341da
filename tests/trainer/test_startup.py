from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.startup import set_mlflow_defaults, start_quickly, without_module, work_for_long

ROOT = Path(__file__).resolve().parents[2]


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_lightgbm_decides_without_scikit_learn() -> None:
    """A trader's process has the library that decides, and not the one that fits wrappers."""
    code = (
        "import sys\n"
        "from trainer.startup import without_module\n"
        "with without_module('sklearn'):\n"
        "    import lightgbm\n"
        "print('sklearn' in sys.modules, hasattr(lightgbm, 'Booster'))\n"
        "import sklearn\n"  # plug-ins may still import it
        "print(sklearn.__name__)"
    )
    assert _run(code).split("\n") == ["False True", "sklearn"]


def test_a_module_that_is_imported_already_stays() -> None:
    assert "json" in sys.modules
    with without_module("json"):
        import json

        assert json.loads("1") == 1
    assert sys.modules["json"] is json


def test_the_collector_runs_rarely_but_runs() -> None:
    before = gc.get_threshold()
    try:
        start_quickly()
        assert gc.get_threshold()[0] == 3_000_000
        assert gc.isenabled()
        work_for_long()
        assert gc.get_threshold()[0] == 100_000
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
}


def test_variables_of_mlflow_that_the_user_set_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DEFAULTS:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "true")
    set_mlflow_defaults()
    expected = {**DEFAULTS, "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "true"}
    assert {name: os.environ[name] for name in DEFAULTS} == expected


def test_the_variables_are_those_that_mlflow_reads() -> None:
    """MLflow ignores a variable that it does not know, so a renamed one would have no effect."""
    code = (
        "import mlflow.environment_variables as v\n"
        f"print([name for name in {list(DEFAULTS)} if not hasattr(v, name)])"
    )
    assert _run(code) == "[]"
