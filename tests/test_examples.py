"""The worked examples in docstrings give what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("features", "adapters", "trainer", "cli", "scripts")
    for path in (ROOT / package).rglob("*.py")
    if ">>> " in path.read_text()
)
#: Modules whose arithmetic a reader checks by hand: each must show an example.
TAUGHT = (
    "features.schedule", "features.labels", "trainer.procedure.splits",
    "trainer.statistics.bootstrap", "trainer.statistics.costs", "trainer.statistics.overfitting",
    "trainer.statistics.performance", "trainer.statistics.sharpe_inference",
)  # fmt: skip


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_give_what_they_say(name: str) -> None:
    result = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("name", TAUGHT)
def test_the_arithmetic_has_examples(name: str) -> None:
    assert name in WITH_EXAMPLES
