"""Models behind one contract: `find` imports one adapter by its name, without the others.

`__all__` lists the functions of this room and the modules that other rooms may import; the other
modules are private.
"""

from __future__ import annotations

import math
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

from adapters.base import AdapterError, ModelAdapter

__all__ = [
    "ENTRY_POINT_GROUP",
    "AdapterError",
    "ModelAdapter",
    "base",
    "check_name",
    "find",
    "find_stored",
    "gru",
    "gru_training",
    "lgbm",
    "names",
    "packages",
    "ppo",
    "ppo_training",
    "recurrent",
    "relative_cost",
    "requirements",
    "torch_tools",
    "trading_env",
]

ENTRY_POINT_GROUP = "barwright.adapters"


class _BuiltIn(NamedTuple):
    """A built-in model."""

    path: str  # "module:class" of its adapter; the module is imported on demand
    cost: float  # time of a job by default, in jobs of lightgbm


_BUILT_IN = {
    "gru": _BuiltIn("adapters.gru:GRUAdapter", 5),
    "lightgbm": _BuiltIn("adapters.lgbm:LightGBMAdapter", 1),
    "ppo": _BuiltIn("adapters.ppo:PPOAdapter", 6),
}


def names() -> list[str]:
    """Return the names that `find` accepts: the built-in models, then the installed plug-ins."""
    plug_ins = sorted(point.name for point in entry_points(group=ENTRY_POINT_GROUP))
    return [*_BUILT_IN, *(name for name in plug_ins if name not in _BUILT_IN)]


def check_name(name: str) -> str:
    """Return `name` if a model has this name, without an import of its adapter.

    Raises
    ------
    AdapterError
        If the name is unknown; the text offers the nearest name.

    Examples
    --------
    >>> check_name("gru")
    'gru'
    >>> check_name("pppo")
    Traceback (most recent call last):
    adapters.base.AdapterError: `models`: there is no model 'pppo' here; did you mean 'ppo'?
    """
    known = names()
    if name not in known:
        nearest = get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
        raise AdapterError(f"`models`: there is no model {name!r} here; {hint}")
    return name


def relative_cost(name: str) -> float:
    """Return about how long a job with this model takes, in jobs of lightgbm.

    The adapter is not imported. For a plug-in nothing is known, and the result is infinite.

    Examples
    --------
    >>> relative_cost("lightgbm"), relative_cost("gru") > 1
    (1, True)
    """
    return _BUILT_IN[name].cost if name in _BUILT_IN else math.inf


def packages(name: str) -> tuple[str, ...]:
    """Return the packages with the code of a model, without an import of its adapter.

    Examples
    --------
    >>> packages("gru")
    ('adapters',)
    """
    if name in _BUILT_IN:
        return ("adapters",)
    return ("adapters", _entry_point(name).module.partition(".")[0])


def requirements(name: str) -> tuple[str, ...]:
    """Return the distributions that serving this model needs, including that of its plug-in."""
    distributions = set(find(name).requirements)
    if name not in _BUILT_IN and (plug_in := _entry_point(name).dist):
        distributions.add(plug_in.name)
    return tuple(sorted(distributions))


def find(name: str) -> type[ModelAdapter]:
    """Import the adapter with this name.

    Raises
    ------
    AdapterError
        If the name is unknown, or if a plug-in does not load or is not a `ModelAdapter`.
    """
    check_name(name)
    adapter = _built_in(name) if name in _BUILT_IN else _plug_in(name)
    if not (isinstance(adapter, type) and issubclass(adapter, ModelAdapter)):
        raise AdapterError(f"model plug-in {name!r} must be a subclass of ModelAdapter")
    return adapter


def find_stored(name: str) -> type[ModelAdapter]:
    """Import the adapter of a stored model.

    Raises
    ------
    AdapterError
        If the name is unknown. The text refers to the requirements of the stored model, because
        they name the distribution of the plug-in.
    """
    if name not in names():
        raise AdapterError(
            f"models of kind {name!r} are not known here; install the plug-in that was used for "
            "training; the model's requirements.txt names it"
        )
    return find(name)


def _built_in(name: str) -> Any:
    module, _, attribute = _BUILT_IN[name].path.partition(":")
    return getattr(import_module(module), attribute)


def _plug_in(name: str) -> Any:
    point = _entry_point(name)
    try:
        return point.load()
    except Exception as error:
        raise AdapterError(
            f"model plug-in {name!r} ({point.value}) does not load: {error}; repair or uninstall it"
        ) from error


def _entry_point(name: str) -> EntryPoint:
    (point,) = (p for p in entry_points(group=ENTRY_POINT_GROUP) if p.name == name)
    return point
