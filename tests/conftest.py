"""Settings and servers that every test shares."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every machine and in every run, and no time limit on a busy one.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL on loopback: its SQLAlchemy URL."""
    folder = tmp_path_factory.mktemp("postgres")
    script = str(Path(__file__).resolve().parents[1] / "scripts" / "postgres.sh")
    started = subprocess.run([script, "start", folder], capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stderr
    yield started.stdout.strip()
    subprocess.run([script, "stop", folder], check=True)
