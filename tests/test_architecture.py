"""Conventions that hold the structure: sizes, sentences, docs that name every file."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = [p for room in ("features", "adapters", "trainer") for p in (ROOT / room).glob("*.py")]
MODULES.append(ROOT / "trader.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_has_one_sentence_and_a_size_that_can_be_read(path: Path) -> None:
    text = path.read_text()
    sentence = ast.get_docstring(ast.parse(text))
    assert sentence
    assert sentence.splitlines()[0].endswith(".")
    assert len(text.splitlines()) <= 300


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_architecture_names_every_file(path: Path) -> None:
    assert f"`{path.name}`" in (ROOT / "docs" / "architecture.md").read_text()


def test_a_trader_that_serves_no_torch_model_imports_no_torch() -> None:
    code = (
        "import sys, trader, trainer.serving.trading_model; "
        "names = ('torch', 'lightgbm', 'stable_baselines3', 'mlflow'); "
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_files_in_the_repository_name_no_path_of_a_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    names = ("/wo" + "rk/", "/opt/wh" + "eels", "/opt/py" + "pi")
    for name in listed:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".sh", ""):
            text = path.read_text()
            assert not [bad for bad in names if bad in text], name
