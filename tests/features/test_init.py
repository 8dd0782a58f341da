"""The list of public modules, compared with the imports of the other rooms."""

from __future__ import annotations

import ast
from pathlib import Path

import features

FOLDER = Path(next(iter(features.__path__)))
ROOT = FOLDER.parent
OTHERS = ("adapters", "benchmarks", "cli", "live", "market", "scripts", "trainer", "tests")


def _imported(path: Path) -> set[str]:
    """Return the modules of `features` that a file imports."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "features":
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("features."):
            modules.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            modules |= {
                alias.name.split(".")[1] for alias in node.names if alias.name[:9] == "features."
            }
    return modules


def test_the_public_modules_exist_in_alphabetical_order() -> None:
    assert features.__all__ == sorted(set(features.__all__))
    assert set(features.__all__) <= {path.stem for path in FOLDER.glob("*.py")}


def test_other_rooms_import_public_modules_only() -> None:
    paths = [ROOT / "trader.py", *(p for room in OTHERS for p in (ROOT / room).rglob("*.py"))]
    private = {
        str(path.relative_to(ROOT)): modules
        for path in paths
        if not path.is_relative_to(ROOT / "tests" / "features")
        and (modules := _imported(path) - set(features.__all__))
    }
    assert private == {}
