"""A folder as the place of a fit cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.procedure.fit_folder import FitFolder
from trainer.procedure.fit_place import PlaceError


def test_what_was_written_is_read(tmp_path: Path) -> None:
    place = FitFolder(tmp_path / "a" / "b")
    place.check()
    assert not (tmp_path / "a").exists(), "a check makes nothing"
    assert place.files() == []
    place.write({"one": b"1", "two": b"22"})
    place.write({"two": b"222"})
    assert place.read(["one", "two", "three"]) == {"one": b"1", "two": b"222"}
    assert {(file.name, file.size) for file in place.files()} == {("one", 1), ("two", 3)}
    place.remove(["one", "three"])
    assert [file.name for file in place.files()] == ["two"]


def test_a_use_is_noted(tmp_path: Path) -> None:
    import os

    place = FitFolder(tmp_path)
    place.write({"one": b"1"})
    os.utime(tmp_path / "one", (1, 1))
    place.read(["one"])
    assert place.files()[0].used == 1
    place.touch(["one", "two"])
    assert place.files()[0].used > 1_000_000


def test_folders_in_it_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert FitFolder(tmp_path).files() == []
    assert FitFolder(tmp_path).read(["folder"]) == {}


def test_a_failed_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    place = FitFolder(tmp_path)
    (tmp_path / "two" / "in the way").mkdir(parents=True)
    with pytest.raises(PlaceError, match=r"'.*two' cannot be written: Is a directory"):
        place.write({"one": b"1", "two": b"2"})
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "a" / "b"):
        with pytest.raises(PlaceError, match=r"cannot be made: '.*/file' is no folder"):
            FitFolder(folder).check()
    with pytest.raises(PlaceError, match=r"cannot be read: Not a directory"):
        FitFolder(tmp_path / "file").files()
