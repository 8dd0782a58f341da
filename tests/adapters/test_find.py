"""`adapters.find` imports a model library only on demand; the plug-ins here are installed ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

import adapters
from adapters import AdapterError, ModelAdapter
from adapters.lgbm import LightGBMAdapter

HEAVY = ("lightgbm", "torch", "stable_baselines3", "gymnasium", "mlflow", "sklearn")

PLUG_IN = '''
"""A model of another distribution."""
from typing import ClassVar

from adapters.lgbm import LightGBMAdapter


class Ours(LightGBMAdapter):
    name: ClassVar[str] = "ours"


class NoAdapter:
    pass


instance = object()
'''


@pytest.mark.parametrize(
    "code",
    [
        "import adapters; adapters.names(); adapters.check_name('lightgbm')",
        "import adapters; adapters.relative_cost('ppo'); adapters.relative_cost('ours')",
        "import adapters.base",
        "import trainer.serving.trading_model",
    ],
)
def test_importing_the_room_loads_no_model_library(code: str) -> None:
    script = f"import sys; {code}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_find_returns_a_built_in_by_its_name() -> None:
    assert adapters.find("lightgbm") is LightGBMAdapter
    assert adapters.names()[:3] == ["gru", "lightgbm", "ppo"]
    assert all(adapters.find(name).name == name for name in adapters.names())


def test_an_unknown_name_gets_the_nearest_or_the_list() -> None:
    for lookup in (adapters.find, adapters.check_name):
        with pytest.raises(AdapterError, match="no model 'lightgmb' here; did you mean 'lightgbm'"):
            lookup("lightgmb")
        with pytest.raises(AdapterError, match="no model 'x' here; known are gru, lightgbm, ppo"):
            lookup("x")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that installs a distribution with one entry point, "name = object"."""

    def write(point: str) -> None:
        info = tmp_path / "acme_models-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-models\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{adapters.ENTRY_POINT_GROUP}]\n{point}\n")
        (tmp_path / "acme_models.py").write_text(PLUG_IN)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "acme_models", raising=False)

    return write


def test_an_installed_distribution_adds_its_model(install: Callable[[str], None]) -> None:
    install("ours = acme_models:Ours")
    assert adapters.names()[-1] == "ours"
    assert "acme_models" not in sys.modules
    adapter = adapters.find("ours")
    assert issubclass(adapter, ModelAdapter)
    assert (adapter.__module__, adapter.name) == ("acme_models", "ours")


def test_a_plug_in_cannot_take_the_name_of_a_built_in(install: Callable[[str], None]) -> None:
    install("lightgbm = acme_models:Ours")
    assert adapters.names().count("lightgbm") == 1
    assert adapters.find("lightgbm") is LightGBMAdapter


@pytest.mark.parametrize("attribute", ["NoAdapter", "instance"])
def test_a_plug_in_that_is_not_an_adapter_is_refused(
    install: Callable[[str], None], attribute: str
) -> None:
    install(f"ours = acme_models:{attribute}")
    with pytest.raises(AdapterError, match="plug-in 'ours' must be a subclass of ModelAdapter"):
        adapters.find("ours")


@pytest.mark.parametrize("value", ["acme_models:Missing", "no_such_module:Ours"])
def test_the_error_for_a_plug_in_that_does_not_load_has_its_name_and_the_reason(
    install: Callable[[str], None], value: str
) -> None:
    install(f"ours = {value}")
    assert "ours" in adapters.names()
    with pytest.raises(AdapterError, match=rf"plug-in 'ours' \({value}\) does not load: .*repair"):
        adapters.find("ours")


def test_jobs_of_a_plug_in_are_taken_for_the_longest(install: Callable[[str], None]) -> None:
    install("ours = acme_models:Ours")
    models = sorted(adapters.names(), key=adapters.relative_cost)
    assert models == ["lightgbm", "gru", "ppo", "ours"]
    assert "acme_models" not in sys.modules


def test_requirements_are_those_of_the_adapter_and_its_distribution(
    install: Callable[[str], None],
) -> None:
    assert adapters.requirements("lightgbm") == ("lightgbm",)
    install("ours = acme_models:Ours")
    assert adapters.requirements("ours") == ("acme-models", "lightgbm")


def test_a_stored_model_of_an_unknown_kind_is_refused() -> None:
    assert adapters.find_stored("lightgbm") is LightGBMAdapter
    with pytest.raises(AdapterError, match=r"kind 'ours' are not known here; .*requirements\.txt"):
        adapters.find_stored("ours")


def test_every_public_name_is_an_attribute_or_a_module() -> None:
    for name in adapters.__all__:
        assert hasattr(adapters, name) or find_spec(f"adapters.{name}"), name
