"""Conventions that hold the structure: sentences, walls between rooms, tests, function sizes."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("features", "adapters", "trainer", "cli")
MODULES = sorted(
    [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    + [ROOT / "trader.py", ROOT / "barwright.py"]
)
#: Folders with an `__init__.py` that declares what other rooms may import.
ROOMS = ("features", "adapters", *sorted(
    f"trainer/{path.parent.name}" for path in (ROOT / "trainer").glob("*/__init__.py")
))  # fmt: skip
#: Lines of code that a function may have: docstring, comments and blank lines are not counted.
LONGEST_FUNCTION = 40
#: Modules without a test file of their own name, and where they are tested instead.
TESTED_ELSEWHERE = {
    "barwright.py": "a class without code; the tree of errors is tested in this file",
    "trainer/__main__.py": "three lines: every test of tests/service starts a command with it",
    "trainer/arrays.py": "names of array types",
    "trainer/errors.py": "classes, and one function with an example (test_examples.py)",
    "features/errors.py": "a class without code",
    "trainer/procedure/fit_place.py": "a protocol; each place has a test file",
    "trainer/procedure/stored_fit.py": "test_fit_cache.py: a fit is proven before it is stored",
    "trainer/jobs/fits.py": "test_schedule.py compares with fits that one process makes",
    "trainer/jobs/job_cache.py": "test_schedule.py: commands and workers find it, clusters do not",
    "trainer/jobs/steps.py": "test_schedule.py runs each step, in any order",
    "trainer/jobs/workers.py": "test_worker_pool.py and test_remote_cluster.py open both kinds",
    "cli/retrain.py": "tests/service/test_retrain.py runs it",
    "trainer/jobs/local_cluster.py": "test_worker_pool.py starts it",
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sentence_of(path: Path) -> str:
    """First sentence of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert text, f"{name_of(path)} has no docstring"
    return " ".join(text.split("\n\n")[0].split())


each_module = pytest.mark.parametrize("path", MODULES, ids=name_of)


# --- Sentences -----------------------------------------------------------------------------------


@each_module
def test_a_module_begins_with_one_sentence(path: Path) -> None:
    sentence = sentence_of(path)
    assert sentence.endswith(".")
    assert not re.search(r"[.!?] [A-Z]", sentence), "one sentence, then an empty line"


def documented() -> dict[str, str]:
    """Sentences of docs/architecture.md by file."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    text = page.partition("<!-- sentences -->")[2].partition("<!-- end of sentences -->")[0]
    rows = re.findall(r"^\| `([^`]+\.py|[^`]+/)` \| (.+?) \|$", text, re.MULTILINE)
    names = [name for name, _ in rows]
    assert len(names) == len(set(names)), "a file stands twice in docs/architecture.md"
    return dict(rows)


@each_module
def test_architecture_has_the_sentence_of_every_file(path: Path) -> None:
    name = name_of(path)
    # The sentence of a package is that of its folder.
    key = name.removesuffix("__init__.py") if path.name == "__init__.py" else name
    assert documented().get(key) == sentence_of(path)


def test_architecture_names_no_file_that_is_gone() -> None:
    gone = [name for name in documented() if not (ROOT / name).exists()]
    assert gone == []


# --- Tests ---------------------------------------------------------------------------------------


def test_every_module_has_a_test_file_or_a_reason_why_not() -> None:
    without = []
    for path in MODULES:
        if path.name == "__init__.py" or name_of(path) in TESTED_ELSEWHERE:
            continue
        test = ROOT / "tests" / path.relative_to(ROOT).with_name(f"test_{path.name}")
        if not test.exists():
            without.append(name_of(path))
    assert without == []


def test_the_list_of_exceptions_is_not_stale() -> None:
    for name in TESTED_ELSEWHERE:
        path = ROOT / name
        assert path.exists(), name
        test = ROOT / "tests" / path.relative_to(ROOT).with_name(f"test_{path.name}")
        assert not test.exists(), f"{name} has a test file: take it off the list"


def test_every_test_file_of_a_room_tests_a_module_that_exists() -> None:
    stale = []
    for package in PACKAGES:
        for test in (ROOT / "tests" / package).rglob("test_*.py"):
            inside = test.relative_to(ROOT / "tests")
            module = ROOT / inside.with_name(inside.name.removeprefix("test_"))
            if not module.exists() and name_of(test) not in WHOLE_ROOM:
                stale.append(name_of(test))
    assert stale == []


#: Test files that test a room or a page as a whole, and not one module.
WHOLE_ROOM = {
    "tests/features/test_exchanges.py": "bars of eight exchanges, from a file to complete bars",
    "tests/features/test_reader_cases.py": "files of many kinds, each read or refused",
    "tests/adapters/test_contract.py": "one suite over every adapter",
    "tests/adapters/test_find.py": "the functions of adapters/__init__.py",
    "tests/adapters/test_documented_plug_in.py": "the plug-in of docs/adapters.md",
    "tests/trainer/serving/test_stored_model.py": "models that earlier versions wrote",
}


# --- Sizes ---------------------------------------------------------------------------------------


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and lines of code of every function and method; inner functions count for the outer."""
    text = path.read_text()
    with_code = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT,
                              tokenize.DEDENT, tokenize.ENDMARKER)
        for line in range(token.start[0], token.end[0] + 1)
    }  # fmt: skip
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            told = range(first.lineno, (first.end_lineno or 0) + 1) if is_docstring else range(0)
            # The signature is no code to follow: it is read like the docstring.
            body = range(first.lineno, (node.end_lineno or 0) + 1)
            yield node.name, len([n for n in body if n in with_code and n not in told])


@each_module
def test_functions_can_be_read_at_once(path: Path) -> None:
    longer = {name: lines for name, lines in functions(path) if lines > LONGEST_FUNCTION}
    assert longer == {}


# --- Walls ---------------------------------------------------------------------------------------


def room_of(module: str) -> str:
    """Room that a dotted module name lies in: the longest one; a plain file is a room of itself."""
    rooms = [room.replace("/", ".") for room in ROOMS]
    inside = [room for room in rooms if module == room or module.startswith(f"{room}.")]
    return max(inside, key=len, default=module)


def public_modules(room: str) -> set[str]:
    """Names in the `__all__` of a room's `__init__.py`."""
    tree = ast.parse((ROOT / room.replace(".", "/") / "__init__.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    raise AssertionError(f"{room} declares no __all__")


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Pairs (dotted module, imported name); the name is empty for `import x`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node.module, alias.name
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""


@each_module
def test_a_room_is_entered_by_its_public_modules_and_names_only(path: Path) -> None:
    own = room_of(dotted(path))
    for module, name in imports(path):
        if module.partition(".")[0] not in PACKAGES:
            continue
        room = room_of(module)
        if room == own or room not in {r.replace("/", ".") for r in ROOMS}:
            continue
        if not name and module == room:
            continue  # `import adapters`: its functions are declared in `__all__`
        # `from trainer.report import html` names a module, `from x.y import name` a name in one.
        entered = name if module == room else module.removeprefix(f"{room}.")
        assert entered in public_modules(room), f"{room} does not declare {entered!r}"
        assert not name.startswith("_"), f"{name} is private to {module}"


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_declares_exists(room: str) -> None:
    for name in public_modules(room):
        is_module = (ROOT / room / f"{name}.py").exists()
        assert is_module or hasattr(import_module(room.replace("/", ".")), name), name


def test_errors_of_all_rooms_have_one_root() -> None:
    from adapters.base import AdapterError
    from barwright import BarwrightError
    from features.errors import InputError
    from trainer.errors import TrainerError, UsageError

    for error in (InputError, AdapterError, TrainerError, UsageError):
        assert issubclass(error, BarwrightError)
    assert issubclass(UsageError, TrainerError)


def test_names_that_are_written_into_registered_models_stay() -> None:
    """Docs/architecture.md, "Names that are frozen": renaming one breaks every model."""
    import trainer.flavor as flavor

    assert flavor.__name__ == "trainer.flavor"
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert "Names that are frozen" in page
    formulas = {path.stem for path in (ROOT / "features").glob("*.py")}
    assert {"indicators", "series", "catalogue", "feature_set", "signature"} <= formulas


def test_a_trader_that_serves_no_torch_model_imports_no_torch() -> None:
    code = (
        "import sys, trader, trainer.serving.trading_model; "
        "names = ('torch', 'lightgbm', 'stable_baselines3', 'mlflow'); "
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_files_in_the_repository_name_no_path_of_a_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    names = ("/wo" + "rk/", "/opt/wh" + "eels", "/opt/py" + "pi")
    for name in listed:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".sh", ""):
            text = path.read_text()
            assert not [bad for bad in names if bad in text], name
