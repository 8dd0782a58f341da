"""Temporary folders: removed after their block, or after a kill by the next command."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from trainer.scratch import scratch_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_exists_for_its_block_only(temporary: Path) -> None:
    with scratch_folder() as folder:
        (folder / "model.bin").write_text("x")
        assert folder.parent == temporary
        with scratch_folder() as other:
            assert folder.is_dir(), "a living process keeps its folders"
            assert other != folder
    assert list(temporary.iterdir()) == []


def test_folders_of_dead_processes_are_removed_and_others_stay(temporary: Path) -> None:
    script = (
        "import os, sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from trainer.scratch import scratch_folder\n"
        "with scratch_folder() as folder:\n"
        "    (folder / 'left').touch(); os.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, str(temporary)],
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert done.returncode == -9
    (left,) = temporary.iterdir()
    (temporary / "barwright-else").mkdir()
    with scratch_folder():
        assert not left.exists()
    assert [path.name for path in temporary.iterdir()] == ["barwright-else"]


def test_a_killed_download_leaves_no_folder_for_the_next_command(temporary: Path) -> None:
    """Every temporary folder of the trainer is a scratch folder: here that of `trainer.flavor`."""
    script = (
        "import os, sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "import mlflow, trainer.flavor as flavor\n"
        "def killed(uri, dst_path):\n"
        "    open(os.path.join(dst_path, 'half'), 'w').close(); os.kill(os.getpid(), 9)\n"
        "mlflow.artifacts.download_artifacts = killed\n"
        "flavor.load_model('models:/m-1')\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, str(temporary)],
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert done.returncode == -9
    (left,) = temporary.iterdir()
    assert (left / "half").exists()
    with scratch_folder():
        assert not left.exists()


def test_no_module_of_the_trainer_makes_temporary_folders_of_its_own() -> None:
    root = Path(__file__).resolve().parents[2]
    makers = ("TemporaryDirectory", "mkdtemp", "mkstemp", "NamedTemporaryFile")
    for path in [
        *(root / "trainer").rglob("*.py"),
        *(root / "cli").glob("*.py"),
        root / "trader.py",
    ]:
        if path.name != "scratch.py":
            text = path.read_text()
            assert not [name for name in makers if name in text], path
