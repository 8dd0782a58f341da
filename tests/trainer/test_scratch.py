"""Temporary folders: gone after their block, and, of a killed process, gone after the next one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from trainer.processes import is_alive, process_identity
from trainer.scratch import scratch_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_there_for_its_block_only(temporary: Path) -> None:
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


def test_an_identity_tells_a_process_from_a_later_one_with_its_id() -> None:
    own = process_identity(os.getpid())
    assert is_alive(own)
    assert not is_alive(own.partition(":")[0] + ":1.00")
    assert not is_alive("nobody")
    assert not is_alive("")
