from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from features import atomic
from features.atomic import replacing

ROOT = Path(atomic.__file__).parents[1]


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_old_content_is_read_until_the_block_ends(tmp_path: Path) -> None:
    (path := tmp_path / "entry").write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert _files(tmp_path) == {"entry": b"new"}


def test_a_new_file_does_not_exist_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "entry"
    with replacing(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert _files(tmp_path) == {"entry": b"new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_the_block_leaves_the_old_file(
    error: type[BaseException], tmp_path: Path
) -> None:
    (path := tmp_path / "entry").write_bytes(b"old")

    def write() -> None:
        with replacing(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        write()
    assert _files(tmp_path) == {"entry": b"old"}


def test_two_writers_at_a_time_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "entry"
    with replacing(path) as first, replacing(path) as second:
        first.write(b"first")
        second.write(b"second")
    # The block of the second writer ends first.
    assert _files(tmp_path) == {"entry": b"first"}


def test_the_file_has_the_permissions_of_other_new_files(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with replacing(tmp_path / "entry") as file:
        file.write(b"new")
    assert (tmp_path / "entry").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("place", ["absent/entry", "file/entry"])
def test_a_folder_that_does_not_exist_is_an_os_error(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"No such file|Not a directory"), replacing(tmp_path / place):
        pass
    assert _files(tmp_path) == {"file": b""}


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    (path := tmp_path / "entry").write_bytes(b"old")
    code = (
        "import os, sys; from pathlib import Path; from features.atomic import replacing\n"
        "with replacing(Path(sys.argv[1])) as file:\n"
        "    file.write(b'new'); file.flush(); os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, env=dict(os.environ))
    assert done.returncode == 9
    assert path.read_bytes() == b"old"
