"""Commands and workers killed at random moments: nothing half-registered, twice, or lost.

BARWRIGHT_KILLS sets the number of kills of each; the figures in the docs were made with 20.
"""

from __future__ import annotations

import itertools
import os
import random
import time

import psutil
import pytest

from tests.service.conftest import EURUSD, QUICK
from tests.service.test_crash import workers_of
from trainer.tracking.tag_names import SETTINGS_DIGEST, STATUS_REASON

N_KILLS = int(os.environ.get("BARWRIGHT_KILLS", "1"))
#: Seconds that the command takes, or a little more.
LONGEST = float(os.environ.get("BARWRIGHT_KILLS_SECONDS", "12"))


def fits_in(workspace) -> set[str]:
    """Fits that are complete."""
    folder = workspace.folder / "data" / "fits"
    return {path.name for path in folder.glob("*") if not path.name.startswith(".")}


def check(workspace) -> None:
    """Every version is whole in itself: it has all tags, and its model has its files."""
    for number in workspace.versions("lightgbm-EURUSD"):
        version = workspace.client.get_model_version("lightgbm-EURUSD", number)
        assert SETTINGS_DIGEST in version.tags
        assert STATUS_REASON in version.tags
        assert workspace.download(f"models:/lightgbm-EURUSD/{number}").is_dir()


@pytest.mark.slow
def test_commands_that_are_killed_leave_one_version_in_the_end(workspace) -> None:
    rng = random.Random(7)
    for kill in range(N_KILLS):
        before = fits_in(workspace)
        # Fits are made again in most rounds: every second one begins without a version.
        process = workspace.start(
            "-m", "trainer", "train", *EURUSD, *QUICK, "--seed", str(kill // 2)
        )
        time.sleep(rng.uniform(0, LONGEST))
        workers = workers_of(process)
        process.kill()
        process.communicate()
        psutil.wait_procs(workers, timeout=60)
        assert before <= fits_in(workspace), "finished fits are kept"
        check(workspace)
    for seed in range((N_KILLS + 1) // 2):
        done = workspace.train(*EURUSD, *QUICK, "--seed", str(seed))
        assert done.returncode == 0, done.stdout + done.stderr
    check(workspace)
    digests = [
        workspace.client.get_model_version("lightgbm-EURUSD", number).tags[SETTINGS_DIGEST]
        for number in sorted(workspace.versions("lightgbm-EURUSD"), key=int)
    ]
    newest = max(workspace.versions("lightgbm-EURUSD"), key=int)
    assert workspace.client.get_model_version("lightgbm-EURUSD", newest).tags[STATUS_REASON] != (
        "its evidence is not gathered yet"
    )
    # Equal versions never follow each other: nothing was registered twice.
    assert all(first != second for first, second in itertools.pairwise(digests))
    assert "RUNNING" not in {run.info.status for run in workspace.runs()}


@pytest.mark.slow
def test_workers_that_are_killed_cost_nothing_but_time(workspace) -> None:
    rng = random.Random(11)
    command = (
        "train", *EURUSD, *QUICK, "--max-workers", "2", "--wf-splits", "4", "--params",
        "lightgbm.num_boost_round=400,lightgbm.early_stopping_rounds=400", "--seed",
    )  # fmt: skip
    killed = seed = 0
    while killed < N_KILLS:
        process = workspace.start("-m", "trainer", *command, str(seed))
        while killed < N_KILLS and process.poll() is None:
            time.sleep(rng.uniform(0.5, 3))
            workers = workers_of(process)
            if len(workers) == 2:
                rng.choice(workers).kill()
                killed += 1
        out, err = process.communicate(timeout=400)
        # A fit that two kills have hit in a row fails its job: then the same command goes on.
        if process.returncode:
            text = " ".join((out + err).split())
            assert "its worker process died twice" in text or "2 died; free" in text, out + err
        else:
            seed += 1
        check(workspace)
    done = workspace.train(*command[1:], str(seed))
    assert done.returncode == 0, done.stdout + done.stderr
    check(workspace)
