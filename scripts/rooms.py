"""Prints the rooms of trainer, from top to bottom: the layers of the lint contract.

Each room stands beside its sentence, which is the first line of its `__init__.py`.

python -m scripts.rooms
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_CONTRACT = "the rooms of trainer, from the jobs of a run down to the errors"


def sentence(path: Path) -> str:
    """First line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(text.partition("\n\n")[0].split())


def layers() -> list[list[str]]:
    """Rooms of each layer, the highest first."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = {entry["name"]: entry for entry in config["tool"]["importlinter"]["contracts"]}
    return [layer.split(" | ") for layer in contracts[_CONTRACT]["layers"]]


def main() -> None:
    """Print one line a room."""
    for number, rooms in enumerate(layers(), start=1):
        for room in rooms:
            folder = ROOT / "trainer" / room
            path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
            print(f"{number:2}  {room:<12} {sentence(path)}")


if __name__ == "__main__":
    main()
