"""The MLflow flavor of a model: what it writes, what it refuses, what it imports."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from features.sources import open_source
from trainer import flavor
from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.job import Job
from trainer.jobs.run_job import run_job
from trainer.serving.holding_rules import Exit


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the sample bars."""
    folder = tmp_path_factory.mktemp("saved")
    config = TrainConfig.parse(
        {
            "symbols": "EURUSD",
            "source": "sample",
            "cache": "off",
            "fit_cache": "off",
            "n_splits": 2,
            "wf_splits": 2,
        }
    )
    result = run_job(Job("EURUSD", "lightgbm"), config, folder / "m", lambda *_: None)
    assert result.trained is not None, result.details
    return folder / "m"


def test_a_saved_pyfunc_decides_as_the_model(saved: Path, tmp_path: Path) -> None:
    flavor.save_model(saved, tmp_path / "mlflow", requirements=["lightgbm"])
    bars = open_source("sample").read("EURUSD", "1h").frame.tail(400)
    served = mlflow.pyfunc.load_model(str(tmp_path / "mlflow")).predict(bars, params={"last": 9})
    own = flavor.TradingModel.load(flavor.data_folder(tmp_path / "mlflow")).decide(bars, last=9)
    assert served["score"].tolist() == own["score"].tolist()
    assert served["position"].tolist() == own["position"].tolist()
    assert served["timestamp"].tolist() == [t.isoformat() for t in own["timestamp"]]


def test_a_pyfunc_takes_the_position_that_is_held(saved: Path, tmp_path: Path) -> None:
    """A model that would hold for ever: without a signal only the caller knows its position."""
    model = replace(flavor.TradingModel.load(saved), threshold=Exit(1.0))
    pyfunc = flavor._Pyfunc(model)
    bars = open_source("sample").read("EURUSD", "1h").frame.tail(model.required_bars)
    (probability,) = model.decide(bars, last=1, held=0)["probability"]
    kept, left = ("long", "short") if probability >= 0.5 else ("short", "long")
    for held, position in ((kept, {"long": 1, "short": -1}[kept]), (left, 0), ("flat", 0)):
        decided = pyfunc.predict(bars, {"last": 1, "held": held})
        assert decided["position"].tolist() == [position]
    with pytest.raises(MlflowException, match="give more history, or the position held"):
        pyfunc.predict(bars, {"last": 1})
    with pytest.raises(MlflowException, match="`held` must be long, flat or short, got 'maybe'"):
        pyfunc.predict(bars, {"last": 1, "held": "maybe"})


@pytest.mark.slow
def test_all_code_that_serving_imports_is_shipped(saved: Path, tmp_path: Path) -> None:
    """The shipped code serves the model in a process that has no other copy of it."""
    flavor.save_model(saved, tmp_path / "mlflow", requirements=["lightgbm"])
    code = tmp_path / "mlflow" / "code"
    shipped = {path.relative_to(code).as_posix() for path in code.rglob("*.*")}
    assert shipped == {"barwright_code.zip", "trainer/__init__.py"}, (
        "each file is a request to a server"
    )
    names = zipfile.ZipFile(code / "barwright_code.zip").namelist()
    assert {name.partition("/")[0] for name in names} == {
        "adapters", "barwright.py", "features", "trainer",
    }  # fmt: skip
    rooms = {name.split("/")[1] for name in names if name.count("/") > 1}
    assert rooms & {"serving", "statistics", "evidence", "jobs"} == {"serving", "statistics"}
    assert all(name.endswith(".py") for name in names)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "import trainer.flavor\n"
        "trainer.flavor._load_pyfunc(sys.argv[2])\n"
        "ours = [m for n, m in sys.modules.items() if n.partition('.')[0] in\n"
        "        ('adapters', 'barwright', 'features', 'trainer')]\n"
        "assert all(Path(m.__file__).is_relative_to(sys.argv[1]) for m in ours), ours\n"
        "print(len(ours))\n"
    )
    data = flavor.data_folder(tmp_path / "mlflow")
    done = subprocess.run(
        [sys.executable, "-c", script, str(code), str(data)],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


def test_serving_imports_nothing_that_fits_judges_or_reports() -> None:
    """MLflow comes with the flavor only; the requirements of a model do not contain psutil."""
    script = (
        "import sys\n"
        "rooms = ('procedure', 'evidence', 'report', 'jobs', 'tracking', 'registry', 'config')\n"
        "never = ('sklearn', 'torch', 'lightgbm', 'dask', 'distributed', 'stable_baselines3',\n"
        "         'gymnasium', 'matplotlib', 'cli', 'psutil', 'arch',\n"
        "         *(f'trainer.{room}' for room in rooms))\n"
        "import trainer.serving.trading_model\n"
        "print([n for n in (*never, 'mlflow', 'scipy', 'pydantic') if n in sys.modules])\n"
        "import mlflow.pyfunc\n"
        "by_mlflow = set(sys.modules)\n"
        "import trainer.flavor\n"
        "print([n for n in never if n in set(sys.modules) - by_mlflow])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]", "[]"], done.stdout + done.stderr


def test_every_requirement_is_pinned(saved: Path, tmp_path: Path) -> None:
    flavor.save_model(saved, tmp_path / "mlflow", requirements=["lightgbm"])
    lines = (tmp_path / "mlflow" / "requirements.txt").read_text().split()
    names = {line.partition("==")[0] for line in lines}
    assert all("==" in line for line in lines)
    assert names == {"lightgbm", "mlflow", "numpy", "pandas", "PyYAML", "TA-Lib"}


def test_a_consumer_downloads_data_and_no_code(saved: Path, tmp_path: Path) -> None:
    flavor.save_model(saved, tmp_path / "mlflow", requirements=["lightgbm"])
    with flavor.downloaded(str(tmp_path / "mlflow")) as inside:
        files = {path.name for path in inside.parent.rglob("*") if path.is_file()}
    assert files == {"MLmodel", *(path.name for path in saved.iterdir())}


def test_registering_while_logging_is_refused(saved: Path) -> None:
    with pytest.raises(TrainerError, match="would register a model that has not been loaded yet"):
        flavor.log_model(saved, "m", registered_model_name="lightgbm-EURUSD")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "flavors: {}",
        "flavors: {python_function: {loader_module: other, data: data}}",
        "flavors: {python_function: {loader_module: trainer.flavor, data: ../../etc}}",
        "flavors: {python_function: {loader_module: trainer.flavor, data: data}}",
        "- a list",
        ": : no yaml",
    ],
)
def test_a_model_of_another_origin_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(TrainerError, match=r"not one of ours|lacks manifest\.json"):
        flavor.data_folder(tmp_path)
    with (
        pytest.raises(TrainerError, match=r"not one of ours|lacks manifest\.json"),
        flavor.downloaded(str(tmp_path)),
    ):
        pass
