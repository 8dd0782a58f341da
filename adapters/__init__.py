"""Models behind one contract; `find` imports the one that is asked for and no other."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points

from adapters.base import AdapterError, ModelAdapter

ENTRY_POINT_GROUP = "barwright.adapters"

_BUILT_IN = {
    "gru": "adapters.gru:GRUAdapter",
    "lightgbm": "adapters.lgbm:LightGBMAdapter",
    "ppo": "adapters.ppo:PPOAdapter",
}


def names() -> list[str]:
    """Names that `find` knows: built-in adapters, then installed plug-ins."""
    plug_ins = sorted(p.name for p in entry_points(group=ENTRY_POINT_GROUP))
    return [*_BUILT_IN, *(name for name in plug_ins if name not in _BUILT_IN)]


def check_name(name: str) -> str:
    """Return `name` if there is such a model here, without importing it.

    Raises
    ------
    AdapterError
        For an unknown name; the nearest one is offered.
    """
    known = names()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise AdapterError(f"`models`: there is no model {name!r} here; {hint}")
    return name


def requirements(name: str) -> tuple[str, ...]:
    """Distributions that serving this model needs: the adapter's own, and its plug-in."""
    needed = set(find(name).requirements)
    if name not in _BUILT_IN:
        (point,) = (p for p in entry_points(group=ENTRY_POINT_GROUP) if p.name == name)
        if point.dist:
            needed.add(point.dist.name)
    return tuple(sorted(needed))


def find(name: str) -> type[ModelAdapter]:
    """Import the adapter of that name.

    Raises
    ------
    AdapterError
        For an unknown name, or a plug-in that does not load or is no `ModelAdapter`.
    """
    check_name(name)
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        adapter = getattr(import_module(module), attribute)
    else:
        (point,) = (p for p in entry_points(group=ENTRY_POINT_GROUP) if p.name == name)
        try:
            adapter = point.load()
        except Exception as error:
            raise AdapterError(
                f"model plug-in {name!r} ({point.value}) does not load: {error}; "
                "repair or uninstall it"
            ) from error
    if not (isinstance(adapter, type) and issubclass(adapter, ModelAdapter)):
        raise AdapterError(f"model plug-in {name!r} must be a subclass of ModelAdapter")
    return adapter


def find_stored(name: str) -> type[ModelAdapter]:
    """Import the adapter of a stored model.

    Raises
    ------
    AdapterError
        If it is not known here: the model says elsewhere which distribution it needs.
    """
    if name not in names():
        raise AdapterError(
            f"models of kind {name!r} are not known here; install the plug-in that it was trained "
            "with: it is in the model's requirements.txt"
        )
    return find(name)
