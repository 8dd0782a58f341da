"""The manifest: altered files, golden bars, equal files for equal values.

`test_trading_model` alters the files of whole models.
"""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from trainer.errors import TrainerError
from trainer.serving.manifest import (
    FILES_OF_FORMAT,
    SCORE_TOLERANCE,
    agrees,
    check_digests,
    decision_to_json,
    golden_frame,
    golden_held,
    read_json,
    sha256,
    write_json,
)


@pytest.fixture(params=[1, 2])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A folder with the files of a format, and their manifest."""
    names = FILES_OF_FORMAT[request.param]
    for name in names:
        (tmp_path / name).write_text(f"content of {name}")
    digests = {name: sha256(tmp_path / name) for name in names}
    return tmp_path, {"format": request.param, "files": digests}


def test_the_digest_is_the_sha256_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\0content\xff")
    assert sha256(tmp_path / "file") == hashlib.sha256(b"\0content\xff").hexdigest()


def test_files_that_are_what_was_saved_pass(saved: tuple[Path, dict[str, Any]]) -> None:
    check_digests(*saved)


def test_the_first_altered_or_missing_file_is_named(saved: tuple[Path, dict[str, Any]]) -> None:
    folder, manifest = saved
    (folder / "features.json").write_text("other")
    with pytest.raises(TrainerError, match=r"^features\.json is not what was saved: its SHA-256"):
        check_digests(folder, manifest)
    (folder / "calibrator.json").unlink()
    with pytest.raises(TrainerError, match=r"^the model lacks calibrator\.json; download"):
        check_digests(folder, manifest)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": 4}, "the model has format 4, this version reads 1, 2, 3; use the barwright"),
        ({"format": None}, "the model has format None, this version reads 1, 2, 3"),
        ({"files": {}}, "the model's manifest does not list its files; train again"),
        ({"files": ["model.bin"]}, "the model's manifest does not list its files"),
    ],
)
def test_manifests_of_another_form_are_refused(
    saved: tuple[Path, dict[str, Any]], change: dict[str, Any], text: str
) -> None:
    folder, manifest = saved
    with pytest.raises(TrainerError, match=re.escape(text)):
        check_digests(folder, {**manifest, **change})


def test_scores_agree_within_the_tolerance_and_everything_else_exactly() -> None:
    assert agrees(0.5, 0.5 + 0.9 * SCORE_TOLERANCE)
    assert not agrees(0.5, 0.5 + 1.1 * SCORE_TOLERANCE)
    assert not agrees(0.5, None)
    assert agrees(None, None)
    assert not agrees(1, 0)
    assert not agrees("2024-01-01T00:00:00+00:00", "2024-01-01T01:00:00+00:00")


def test_a_decision_without_a_score_is_null() -> None:
    row = {
        "timestamp": pd.Timestamp("2024-01-02 03:00", tz="UTC"),
        "score": math.nan, "probability": math.nan, "position": 0,
    }  # fmt: skip
    assert decision_to_json(row) == {
        "timestamp": "2024-01-02T03:00:00+00:00",
        "score": None, "probability": None, "position": 0,
    }  # fmt: skip
    decided = decision_to_json({**row, "score": 0.25, "probability": 0.75, "position": -1})
    assert (decided["score"], decided["probability"], decided["position"]) == (0.25, 0.75, -1)


def test_golden_bars_have_utc_times() -> None:
    prices = {name: [1.0, 2.0] for name in ("open", "high", "low", "close", "volume")}
    hour = 3_600 * 10**9
    frame = golden_frame({"golden": {"bars": {"time_ns": [0, hour], **prices}}})
    assert list(frame) == ["timestamp", "open", "high", "low", "close", "volume"]
    assert frame["timestamp"].tolist() == [
        pd.Timestamp("1970-01-01", tz="UTC"), pd.Timestamp("1970-01-01 01:00", tz="UTC")
    ]  # fmt: skip
    with pytest.raises(TrainerError, match=r"the golden rows are damaged: .*; train again"):
        golden_frame({"golden": {"bars": {"time_ns": [0, hour]}}})


def test_the_position_before_the_golden_rows_is_a_position_or_absent() -> None:
    assert golden_held({"golden": {}}) is None
    assert [golden_held({"golden": {"held": held}}) for held in (-1, 0, 1)] == [-1, 0, 1]
    for held in (2, True, "long", 0.0):
        with pytest.raises(TrainerError, match=r"must be -1, 0 or 1, got .*; train again"):
            golden_held({"golden": {"held": held}})


def test_equal_objects_are_equal_files(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 0.1, "a": [1, None]})
    write_json(tmp_path / "b", {"a": [1, None], "b": 0.1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_json(tmp_path / "a") == {"a": [1, None], "b": 0.1}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "c", {"a": math.nan})


@pytest.mark.parametrize("content", ["", "{", "[]", "7"])
def test_json_that_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(content)
    with pytest.raises(TrainerError, match=r"metrics\.json of the model is damaged: .*train again"):
        read_json(path)
    path.unlink()
    with pytest.raises(TrainerError, match=r"the model lacks metrics\.json; download or train"):
        read_json(path)
