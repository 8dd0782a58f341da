from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

from trainer.startup import start_quickly, without_module

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
        assert gc.get_threshold()[0] == 100_000
        assert gc.isenabled()
    finally:
        gc.set_threshold(*before)
