"""The real command line of Barwright, run in a folder with an MLflow store of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


class CommandLine:
    """Commands that run in one folder.

    Attributes
    ----------
    folder : pathlib.Path
        Working folder of the commands.
    uri : str
        Address of the MLflow store, a database in that folder.
    environment : dict of str to str
        Environment variables of the commands.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "MLFLOW_TRACKING_URI": self.uri,
        }
        self.environment.pop("MLFLOW_RUN_ID", None)

    def words(self, *arguments: str) -> list[str]:
        """Return the words of a command."""
        return [sys.executable, "-m", "trainer", *arguments]

    def run(
        self, *arguments: str, may_be_refused: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and return its output.

        Parameters
        ----------
        *arguments : str
        may_be_refused : bool, default False
            Whether another exit status than 0 is allowed if the command printed a result.

        Raises
        ------
        RuntimeError
            If the command failed.
        """
        done = subprocess.run(
            self.words(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode and not (may_be_refused and done.stdout):
            raise RuntimeError(f"{arguments} failed:\n{done.stdout}\n{done.stderr}")
        return done
