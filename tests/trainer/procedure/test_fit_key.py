"""The key of a fit: what is in it, and what is not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adapters
from adapters.base import Batch
from adapters.lgbm import LightGBMAdapter
from tests.trainer.procedure.fit_rows import QUICK, TAIL, TRAIN, batch, make
from trainer.procedure.fit_key import fit_key

ROOT = Path(__file__).resolve().parents[3]
each_model = pytest.mark.parametrize("name", list(QUICK))


def changed(field: str, value: Any = None) -> Batch:
    """`TRAIN` with the smallest change of one value, in its middle."""
    array = getattr(TRAIN, field).copy(order="K")
    at = (150, 2) if array.ndim == 2 else 150
    if value is None:
        value = np.nextafter(array[at], array.dtype.type(9)) if array.dtype.kind == "f" else 155
    array[at] = value
    return replace(TRAIN, **{field: array})


#: A changed key, and the models for which the change means another fit.
OTHERS: dict[str, tuple[Callable[[str], str], set[str]]] = {
    "X": (lambda n: fit_key(make(n), changed("X"), TAIL), set(QUICK)),
    "y": (lambda n: fit_key(make(n), changed("y"), TAIL), set(QUICK)),
    "weight": (lambda n: fit_key(make(n), changed("weight"), TAIL), set(QUICK)),
    "position": (lambda n: fit_key(make(n), changed("position", 156), TAIL), set(QUICK)),
    "a value of the tail": (lambda n: fit_key(make(n), TRAIN, batch(80, seed=3)), set(QUICK)),
    "tail and rows swapped": (lambda n: fit_key(make(n), TAIL, TRAIN), set(QUICK)),
    "seed": (lambda n: fit_key(make(n, seed=6), TRAIN, TAIL), set(QUICK)),
    "forward_return": (lambda n: fit_key(make(n), changed("forward_return"), TAIL), {"ppo"}),
    "cost": (lambda n: fit_key(make(n), replace(TRAIN, cost=0.0002), TAIL), {"ppo"}),
    "cost of the tail": (lambda n: fit_key(make(n), TRAIN, replace(TAIL, cost=0.1)), {"ppo"}),
    "layout": (
        lambda n: fit_key(make(n), replace(TRAIN, X=np.ascontiguousarray(TRAIN.X)), TAIL),
        set(),
    ),
    "shape": (
        lambda n: fit_key(make(n), replace(TRAIN, X=TRAIN.X.reshape((600, 2), order="F")), TAIL),
        set(QUICK),
    ),
}


@each_model
@pytest.mark.parametrize("change", OTHERS)
def test_rows_of_the_key(name: str, change: str) -> None:
    key, models = OTHERS[change]
    assert (key(name) != fit_key(make(name), TRAIN, TAIL)) == (name in models)


@each_model
def test_every_hyperparameter_is_in_the_key(name: str) -> None:
    keys = {fit_key(make(name), TRAIN, TAIL)}
    for known, (least, _) in adapters.find(name).rules.items():
        kind = type(adapters.find(name).defaults[known])
        keys.add(fit_key(make(name, **{known: kind(least)}), TRAIN, TAIL))
    assert len(keys) == 1 + len(adapters.find(name).rules)


def test_the_task_is_in_the_key() -> None:
    asked = LightGBMAdapter(task="regression", seed=5, params=QUICK["lightgbm"])
    assert fit_key(asked, TRAIN, TAIL) != fit_key(make(), TRAIN, TAIL)


def test_the_device_in_the_key_is_the_one_that_is_used() -> None:
    """Without a GPU, `auto` is the CPU, and `cuda` must be refused and not be read."""
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("a GPU is available")
    gru = adapters.find("gru")
    keys = [
        fit_key(gru(task="classification", device=device), TRAIN, TAIL)
        for device in ("cpu", "auto", "cuda")
    ]
    assert keys[0] == keys[1] != keys[2]


KEY = """
import sys
sys.path[:0] = sys.argv[1:]
import adapters, numpy as np
from adapters.base import Batch
from trainer.procedure.fit_key import fit_key
rows = Batch(np.zeros((3, 2), np.float32), np.zeros(3), np.ones(3), np.arange(3))
for name in ("lightgbm", "acme"):
    print(fit_key(adapters.find(name)(task="classification"), rows, rows))
"""


@pytest.mark.slow
def test_code_and_installed_versions_are_in_the_key(tmp_path: Path) -> None:
    """A copy of the packages and a plug-in beside them, changed one by one."""
    for room in ("adapters", "features", "trainer"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "barwright.py", tmp_path)
    (tmp_path / "acme.py").write_text(
        "from adapters.lgbm import LightGBMAdapter\n"
        'class Acme(LightGBMAdapter):\n    name = "acme"\n'
    )
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[barwright.adapters]\nacme = acme:Acme\n")

    def keys() -> list[str]:
        command = [sys.executable, "-c", KEY, str(tmp_path)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.split()

    def comment(path: Path) -> None:
        path.write_text(path.read_text() + "# changed\n")

    first = keys()
    assert keys() == first
    comment(tmp_path / "trainer" / "procedure" / "procedure.py")
    assert keys() == first, "only adapters fit"
    comment(tmp_path / "acme.py")
    second = keys()
    assert (second[0] == first[0], second[1] == first[1]) == (True, False)
    comment(tmp_path / "adapters" / "recurrent.py")
    third = keys()
    assert third[0] != second[0]
    assert third[1] != second[1]
    info.rename(tmp_path / "acme-1.1.dist-info")
    fourth = keys()
    assert fourth[0] != third[0]
    assert fourth[1] != third[1]
