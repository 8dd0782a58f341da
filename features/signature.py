"""What a feature matrix is made of, as one comparable value: names, parameters, formulas."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

from features.errors import InputError

#: Raise it when the meaning of a field below changes; older signatures are then refused by name.
FORMAT_VERSION = 1


@dataclass(frozen=True)
class FeatureEntry:
    """One column: its name, what it was computed with, and how far back it looks."""

    name: str
    kind: str
    params: dict[str, int | str]
    memory: int
    dtype: str
    formula: str


@dataclass(frozen=True)
class FeatureSignature:
    """The ordered columns of a feature matrix.

    Attributes
    ----------
    entries : tuple of FeatureEntry
        In column order.
    """

    entries: tuple[FeatureEntry, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(entry.name for entry in self.entries)

    @property
    def digest(self) -> str:
        """SHA-256 over everything above: equal if, and only if, nothing differs."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"format": FORMAT_VERSION, "features": [asdict(entry) for entry in self.entries]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FeatureSignature:
        """Read what `to_json` wrote.

        Raises
        ------
        InputError
            If the format is another or a field is missing.
        """
        if not isinstance(data, dict):
            raise InputError(f"the feature signature is damaged: {data!r}; train again")
        if data.get("format") != FORMAT_VERSION:
            raise InputError(
                f"the feature signature has format {data.get('format')!r}, this version reads "
                f"{FORMAT_VERSION}; use the barwright version that wrote it, or train again"
            )
        try:
            for entry in data["features"]:
                if not (isinstance(entry["name"], str) and isinstance(entry["params"], dict)):
                    raise TypeError(f"no feature: {entry}")
            return cls(tuple(FeatureEntry(**entry) for entry in data["features"]))
        except (KeyError, TypeError) as error:
            raise InputError(f"the feature signature is damaged: {error}; train again") from error

    def diff(self, other: FeatureSignature) -> list[str]:
        """Say how `other` differs from this signature, a line each; empty if they are equal."""
        mine = {entry.name: entry for entry in self.entries}
        theirs = {entry.name: entry for entry in other.entries}
        lines = [f"added: {name}" for name in theirs if name not in mine]
        lines += [f"missing: {name}" for name in mine if name not in theirs]
        common = [name for name in mine if name in theirs]
        order = [name for name in theirs if name in mine]
        lines += [
            f"reordered: {there!r} stands where {here!r} is expected"
            for here, there in zip(common, order, strict=True)
            if here != there
        ]
        for name in common:
            a, b = mine[name], theirs[name]
            if a.dtype != b.dtype:
                lines.append(f"retyped: {name} from {a.dtype} to {b.dtype}")
            if (a.kind, a.params, a.memory) != (b.kind, b.params, b.memory):
                lines.append(f"re-parameterised: {name} from {_call(a)} to {_call(b)}")
            if a.formula != b.formula:
                lines.append(f"formula changed: {name} from {a.formula} to {b.formula}")
        return lines

    def require(self, other: FeatureSignature, *, where: str) -> None:
        """Raise `InputError` with a readable diff unless `other` equals this signature."""
        lines = self.diff(other)
        if lines:
            raise InputError(f"features of {where} do not match:\n  " + "\n  ".join(lines))


def _call(entry: FeatureEntry) -> str:
    params = ", ".join(f"{key}={value}" for key, value in entry.params.items())
    return f"{entry.kind}({params}) memory {entry.memory}"


@functools.cache
def formula_digest(function: Callable[..., Any]) -> str:
    """Fingerprint of what a function computes: 12 hex digits.

    Covers its code and that of the functions, properties and constants that it reaches in its
    own package and in this one; comments, docstrings and layout do not count.
    """
    seen: dict[str, str] = {}
    _collect(function, seen)
    text = "\n".join(f"{key}={seen[key]}" for key in sorted(seen))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _collect(item: object, seen: dict[str, str]) -> None:
    if isinstance(item, property):
        item = item.fget
    if isinstance(item, functools.partial):
        seen[f"partial {item.func.__qualname__}"] = repr((item.args, sorted(item.keywords.items())))
        item = item.func
    if inspect.isclass(item):
        for name, member in sorted(vars(item).items()):
            if isinstance(member, property | FunctionType) and not name.startswith("__"):
                _collect(member, seen)
        return
    if not isinstance(item, FunctionType):
        return
    key = f"{item.__module__}.{item.__qualname__}"
    if key in seen:
        return
    seen[key] = _normalised_source(item)
    for cell in item.__closure__ or ():
        if isinstance(cell.cell_contents, FunctionType):
            _collect(cell.cell_contents, seen)
        else:
            seen[f"{key} holds {len(seen)}"] = repr(cell.cell_contents)
    packages = {item.__module__.partition(".")[0], __name__.partition(".")[0]}
    for name in sorted(_names(item.__code__)):
        value = item.__globals__.get(name)
        if isinstance(value, int | float | str | tuple):
            seen[f"{item.__module__}.{name}"] = repr(value)
        elif isinstance(value, ModuleType) and value.__name__.partition(".")[0] in packages:
            for member in sorted(_names(item.__code__)):
                _collect(getattr(value, member, None), seen)
        elif str(getattr(value, "__module__", "")).partition(".")[0] in packages:
            _collect(value, seen)
    for annotation in item.__annotations__.values():
        # The series class is reached through the argument, not through a global name.
        owner = item.__globals__.get(annotation) if isinstance(annotation, str) else annotation
        if inspect.isclass(owner) and owner.__module__.partition(".")[0] in packages:
            _collect(owner, seen)


def _names(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found


def _normalised_source(function: FunctionType) -> str:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        # No source (a frozen or generated function): its byte code is the next best witness.
        code = function.__code__
        return repr((code.co_code, _plain_constants(code), code.co_names))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _plain_constants(code: CodeType) -> list[object]:
    """Constants of a function and of those inside it; a code object's repr has an address."""
    found: list[object] = []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found += [constant.co_code, *_plain_constants(constant)]
        else:
            found.append(constant)
    return found
