from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from features.session_store import Arrays, stored


class Counted:
    """A computation that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Arrays:
        self.calls += 1
        return {"day": np.arange(self.calls, 5), "last_day": np.array([7])}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BARWRIGHT_CACHE", str(tmp_path / "own"))
    return tmp_path / "own"


def _days(compute: Counted, name: str = "XNYS") -> list[int]:
    arrays = stored(name, compute)
    assert all(array.dtype == np.int64 for array in arrays.values())
    assert arrays["last_day"].tolist() == [7]
    return [int(day) for day in arrays["day"]]


def test_a_result_is_computed_once(folder: Path) -> None:
    compute = Counted()
    assert [_days(compute), _days(compute)] == [[1, 2, 3, 4]] * 2
    assert _days(compute, "XLON") == [2, 3, 4]
    assert compute.calls == 2
    release = version("exchange_calendars")
    assert {path.name for path in folder.iterdir()} == {
        f"{name}-{release}.npz" for name in ("XNYS", "XLON")
    }


@pytest.mark.parametrize("damage", [b"", b"no archive", "cut", "flip"])
def test_a_damaged_file_is_computed_and_written_again(folder: Path, damage: bytes | str) -> None:
    compute = Counted()
    _days(compute)
    (path,) = folder.iterdir()
    data = path.read_bytes()
    if damage == "cut":
        damage = data[:-30]
    elif damage == "flip":
        middle = data.index(b"day.npy") + 40
        damage = data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
    path.write_bytes(damage if isinstance(damage, bytes) else b"")
    assert [_days(compute), _days(compute)] == [[2, 3, 4]] * 2
    assert compute.calls == 2


def test_another_release_of_the_library_computes_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = Counted()
    _days(compute)
    monkeypatch.setattr("features.session_store.version", lambda _: "5.0")
    assert _days(compute) == [2, 3, 4]


def test_a_folder_that_cannot_be_written_costs_the_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BARWRIGHT_CACHE", str(tmp_path / "file"))
    compute = Counted()
    assert [_days(compute), _days(compute)] == [[1, 2, 3, 4], [2, 3, 4]]


def test_the_usual_folder_is_that_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BARWRIGHT_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    _days(Counted())
    assert len(list((tmp_path / ".cache" / "barwright").iterdir())) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    _days(Counted())
    assert len(list((tmp_path / "xdg" / "barwright").iterdir())) == 1


def test_a_user_without_a_home_computes_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("BARWRIGHT_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pwd.getpwuid", _no_user)
    compute = Counted()
    assert [_days(compute), _days(compute)] == [[1, 2, 3, 4], [2, 3, 4]]


def _no_user(uid: int) -> None:
    raise KeyError(uid)
