"""The signature of a feature matrix: what each column is, as one comparable value."""

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

#: Increase it when the meaning of a field of `FeatureEntry` changes: `FeatureSignature.from_json`
#: then refuses older signatures with a message that contains their format.
FORMAT_VERSION = 1


@dataclass(frozen=True)
class FeatureEntry:
    """One column of a feature matrix.

    Attributes
    ----------
    name : str
        Column name.
    kind : str
        Name of the feature kind.
    params : dict of str to int or str
        Parameters of the formula.
    memory : int
        Bars before a row that the row may depend on.
    dtype : str
        Type of the values.
    formula : str
        Digest of the formula's code (`formula_digest`).
    """

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
        """The column names, in order."""
        return tuple(entry.name for entry in self.entries)

    @property
    def digest(self) -> str:
        """The SHA-256 of the JSON form: equal for equal signatures only."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the signature as plain values for JSON."""
        return {"format": FORMAT_VERSION, "features": [asdict(entry) for entry in self.entries]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FeatureSignature:
        """Return the signature of which `to_json` returned `data`.

        Raises
        ------
        InputError
            If the format is not `FORMAT_VERSION`, or a field is missing or has a wrong type.
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
        """Return one line for each difference of `other` from this signature; empty if equal."""
        expected = {entry.name: entry for entry in self.entries}
        given = {entry.name: entry for entry in other.entries}
        lines = [f"added: {name}" for name in given if name not in expected]
        lines += [f"missing: {name}" for name in expected if name not in given]
        expected_order = [name for name in expected if name in given]
        given_order = [name for name in given if name in expected]
        lines += [
            f"reordered: {given_name!r} stands where {expected_name!r} is expected"
            for expected_name, given_name in zip(expected_order, given_order, strict=True)
            if expected_name != given_name
        ]
        for name in expected_order:
            a, b = expected[name], given[name]
            if a.dtype != b.dtype:
                lines.append(f"retyped: {name} from {a.dtype} to {b.dtype}")
            if (a.kind, a.params, a.memory) != (b.kind, b.params, b.memory):
                lines.append(f"re-parameterised: {name} from {_as_call(a)} to {_as_call(b)}")
            if a.formula != b.formula:
                lines.append(f"formula changed: {name} from {a.formula} to {b.formula}")
        return lines

    def require(self, other: FeatureSignature, *, owner: str) -> None:
        """Raise `InputError` with the lines of `diff` unless `other` equals this signature.

        Parameters
        ----------
        other : FeatureSignature
            The signature to check.
        owner : str
            What `other` belongs to, for the message.
        """
        lines = self.diff(other)
        if lines:
            raise InputError(f"features of {owner} do not match:\n  " + "\n  ".join(lines))


def _as_call(entry: FeatureEntry) -> str:
    params = ", ".join(f"{key}={value}" for key, value in entry.params.items())
    return f"{entry.kind}({params}) memory {entry.memory}"


@functools.cache
def formula_digest(function: Callable[..., Any]) -> str:
    """Return a digest of the code of a formula, as 12 hexadecimal digits.

    The digest covers the code of the function, and of the functions, properties and constants
    that it uses from its own package and from this one. Comments, docstrings and layout do not
    count. Module names and names of local variables count.
    """
    parts: dict[str, str] = {}
    _collect(function, parts)
    text = "\n".join(f"{key}={parts[key]}" for key in sorted(parts))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _collect(item: object, parts: dict[str, str]) -> None:
    """Add the code or the value of `item`, and of what it uses, to `parts`."""
    if isinstance(item, property):
        item = item.fget
    if isinstance(item, functools.partial):
        parts[f"partial {item.func.__qualname__}"] = repr(
            (item.args, sorted(item.keywords.items()))
        )
        item = item.func
    if inspect.isclass(item):
        for name, member in sorted(vars(item).items()):
            if isinstance(member, property | FunctionType) and not name.startswith("__"):
                _collect(member, parts)
        return
    if not isinstance(item, FunctionType):
        return
    key = f"{item.__module__}.{item.__qualname__}"
    if key in parts:
        return
    parts[key] = _normalised_source(item)
    for cell in item.__closure__ or ():
        if isinstance(cell.cell_contents, FunctionType):
            _collect(cell.cell_contents, parts)
        else:
            parts[f"{key} holds {len(parts)}"] = repr(cell.cell_contents)
    packages = {item.__module__.partition(".")[0], __name__.partition(".")[0]}
    for name in sorted(_names(item.__code__)):
        value = item.__globals__.get(name)
        if isinstance(value, int | float | str | tuple):
            parts[f"{item.__module__}.{name}"] = repr(value)
        elif isinstance(value, ModuleType) and value.__name__.partition(".")[0] in packages:
            for member in sorted(_names(item.__code__)):
                _collect(getattr(value, member, None), parts)
        elif str(getattr(value, "__module__", "")).partition(".")[0] in packages:
            _collect(value, parts)
    for annotation in item.__annotations__.values():
        # A formula uses the series class through its argument, not through a global name.
        owner = item.__globals__.get(annotation) if isinstance(annotation, str) else annotation
        if inspect.isclass(owner) and owner.__module__.partition(".")[0] in packages:
            _collect(owner, parts)


def _names(code: CodeType) -> set[str]:
    """Return the names that a function and the functions inside it use."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


def _normalised_source(function: FunctionType) -> str:
    """Return the source without comments, docstrings and layout."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        # A frozen or generated function has no source: its byte code takes the place of it.
        code = function.__code__
        return repr((code.co_code, _plain_constants(code), code.co_names))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _plain_constants(code: CodeType) -> list[object]:
    """Return the constants of a function and of the functions inside it.

    A code object is replaced by its byte code, because its repr contains a memory address.
    """
    constants: list[object] = []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            constants += [constant.co_code, *_plain_constants(constant)]
        else:
            constants.append(constant)
    return constants
