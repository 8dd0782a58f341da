"""Write `python_env.yaml` and `conda.yaml` from `pyproject.toml` and `constraints.txt`.

MLflow builds a project's environment from one of the two files. They name the core dependencies
and the extras `sample` and `deep` at their tested versions. `-c constraints.txt` pins the packages
that these need.

    python scripts/sync_env.py            write both files
    python scripts/sync_env.py --check    print the differences and exit with 1; write nothing
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The interpreter of the tested set. `mlflow run .` requests exactly this one from pyenv or uv.
PYTHON_VERSION = "3.11.7"
EXTRAS = ("sample", "deep")
HEADER = "# Written by scripts/sync_env.py from pyproject.toml and constraints.txt: do not edit.\n"


def normalized(name: str) -> str:
    """Return a distribution name in the spelling that registries compare (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def tested_versions(constraints: str) -> dict[str, str]:
    """Read the pins of a constraints file.

    Parameters
    ----------
    constraints
        Text of the file: `name==version` a line, comments and blank lines allowed.

    Returns
    -------
    dict
        Version by normalized distribution name.

    Raises
    ------
    ValueError
        If a line is not an exact pin.
    """
    versions = {}
    for number, line in enumerate(constraints.splitlines(), start=1):
        pin = line.partition("#")[0].strip()
        if not pin:
            continue
        match = re.fullmatch(r"([A-Za-z0-9][\w.-]*)==([\w.!+-]+)", pin)
        if match is None:
            raise ValueError(f"constraints.txt line {number} must be `name==version`, got {pin!r}")
        versions[normalized(match[1])] = match[2]
    return versions


def pinned_requirements(pyproject: str, constraints: str) -> list[str]:
    """Return the requirements of a run, each at its tested version.

    Parameters
    ----------
    pyproject
        Text of `pyproject.toml`.
    constraints
        Text of `constraints.txt`.

    Returns
    -------
    list of str
        `name==version` for the core dependencies and the extras in `EXTRAS`, sorted by name.

    Raises
    ------
    ValueError
        If a dependency has no pin.
    """
    project = tomllib.loads(pyproject)["project"]
    requirements = list(project["dependencies"])
    for extra in EXTRAS:
        requirements += project["optional-dependencies"][extra]
    versions = tested_versions(constraints)
    pins = []
    for requirement in requirements:
        match = re.match(r"[A-Za-z0-9][\w.-]*(\[[\w,-]+\])?", requirement)
        name = match[0] if match else requirement
        version = versions.get(normalized(name.partition("[")[0]))
        if version is None:
            raise ValueError(
                f"constraints.txt must pin every dependency, {name!r} is missing; "
                "renew it with scripts/constraints.sh"
            )
        pins.append(f"{name}=={version}")
    return sorted(pins, key=str.lower)


def render(pyproject: str, constraints: str) -> dict[str, str]:
    """Return the text of each environment file, by file name."""
    pins = pinned_requirements(pyproject, constraints)
    pip = tested_versions(constraints)["pip"]
    minor = PYTHON_VERSION.rpartition(".")[0]

    def items(indent: str) -> str:
        return "".join(f"{indent}- {line}\n" for line in ["-c constraints.txt", *pins])

    return {
        "python_env.yaml": (
            f'{HEADER}python: "{PYTHON_VERSION}"\n'
            f"build_dependencies:\n  - pip=={pip}\n"
            f"dependencies:\n{items('  ')}"
        ),
        "conda.yaml": (
            f"{HEADER}name: barwright\n"
            "channels:\n  - conda-forge\n  - nodefaults\n"
            f"dependencies:\n  - python={minor}\n  - pip\n"
            f"  - pip:\n{items('      ')}"
        ),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the environment files; return the exit status."""
    parser = argparse.ArgumentParser(description="Write python_env.yaml and conda.yaml.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if files differ"
    )
    check = parser.parse_args(arguments).check

    files = render((ROOT / "pyproject.toml").read_text(), (ROOT / "constraints.txt").read_text())
    stale = False
    for name, text in files.items():
        path = ROOT / name
        present = path.read_text() if path.exists() else ""
        if present == text:
            continue
        if not check:
            path.write_text(text)
            continue
        stale = True
        difference = difflib.unified_diff(
            present.splitlines(), text.splitlines(), name, f"{name} as generated", lineterm=""
        )
        sys.stdout.write("\n".join(difference) + "\n")
    if stale:
        sys.stdout.write("Run `python scripts/sync_env.py` and commit the two files.\n")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
