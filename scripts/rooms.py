"""Print the rooms of trainer from top to bottom, in the layers of the lint contract.

A line contains the layer, the room and its sentence, which is the first line of its `__init__.py`.

    python -m scripts.rooms
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_CONTRACT = "the rooms of trainer, from the jobs of a run down to the errors"


def sentence(path: Path) -> str:
    """Return the first paragraph of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(text.partition("\n\n")[0].split())


def layers() -> list[list[str]]:
    """Return the rooms of each layer, the highest layer first."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = {entry["name"]: entry for entry in config["tool"]["importlinter"]["contracts"]}
    # Parentheses mark a layer that import-linter takes as optional.
    return [
        [room.strip("()") for room in layer.split(" | ")]
        for layer in contracts[_CONTRACT]["layers"]
    ]


def main() -> None:
    """Print one line for each room."""
    for number, rooms in enumerate(layers(), start=1):
        for room in rooms:
            folder = ROOT / "trainer" / room
            path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
            print(f"{number:2}  {room:<12} {sentence(path)}")


if __name__ == "__main__":
    main()
