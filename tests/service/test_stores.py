"""The same run straight into PostgreSQL; test_browser trains through a server."""

from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.postgres
def test_train_straight_into_postgresql(tmp_path, make_workspace, new_postgres: str) -> None:
    place = make_workspace(tmp_path, new_postgres)
    done = place.train_quickly()
    assert done.returncode == 0, done.stdout + done.stderr
    assert place.versions("lightgbm-EURUSD") == ["1"]
