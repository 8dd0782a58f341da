"""The record: it has every bar, and its file is read as it was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainer.errors import TrainerError
from trainer.evidence.record import Record
from trainer.statistics.costs import Costs
from trainer.statistics.performance import net_returns

HOUR = 3_600_000_000_000
TIMES = 1_700_000_000_000_000_000 // HOUR * HOUR + HOUR * np.arange(20)


def record() -> Record:
    """Return a record of rows at bars 3, 4, 6 and 9; the bars between have no row."""
    return Record.of_rows(
        TIMES,
        np.array([3, 4, 6, 9]),
        position=np.array([1, 1, -1, 0], dtype=np.int8),
        forward_return=np.array([0.01, -0.02, 0.03, 0.04]),
        probability=np.array([0.6, 0.7, 0.2, 0.5]),
        outcome=np.array([1.0, 0.0, 1.0, 1.0]),
    )


def test_bars_without_a_row_are_flat() -> None:
    made = record()
    assert made.time_ns.tolist() == TIMES[3:10].tolist()
    assert made.position.tolist() == [1, 1, 0, -1, 0, 0, 0]
    assert made.forward_return.tolist() == [0.01, -0.02, 0, 0.03, 0, 0, 0.04]
    assert np.isfinite(made.probability).tolist() == [True, True, False, True, False, False, True]
    expected = net_returns(made.position, made.forward_return, Costs(10, 5))
    assert made.net(Costs(10, 5)).tolist() == expected.tolist()
    assert made.net(Costs(10, 5))[0] == pytest.approx(0.01 - 0.0015)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = record()
    made.write(tmp_path / "walk_forward.parquet")
    again = Record.read(tmp_path / "walk_forward.parquet")
    assert again.digest == made.digest
    for name in ("time_ns", "position", "forward_return", "probability", "outcome"):
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))


@pytest.mark.parametrize(
    "name", ["time_ns", "position", "forward_return", "probability", "outcome"]
)
def test_the_digest_depends_on_every_value(name: str) -> None:
    made = record()
    values = getattr(made, name).copy()
    values[1] += 1
    assert replace(made, **{name: values}).digest != made.digest
    assert replace(made, position=made.position.copy()).digest == made.digest


@pytest.mark.parametrize("content", [b"", b"PAR1", b"timestamp,position\n"])
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "walk_forward.parquet").write_bytes(content)
    with pytest.raises(TrainerError, match=r"walk_forward\.parquet cannot be read: .*train again"):
        Record.read(tmp_path / "walk_forward.parquet")


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    record().to_frame().drop(columns="outcome").to_parquet(tmp_path / "r.parquet")
    with pytest.raises(TrainerError, match="outcome"):
        Record.read(tmp_path / "r.parquet")
