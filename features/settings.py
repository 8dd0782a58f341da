"""YAML files of settings as plain mappings: no aliases, and no key twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from features.errors import InputError


def read_settings(path: Path, option: str) -> dict[str, Any]:
    """Read a YAML file that holds one mapping.

    Parameters
    ----------
    path : pathlib.Path
    option : str
        What names the file, for messages.

    Raises
    ------
    InputError
        If the file is missing, no YAML, no mapping, uses aliases, or gives a key twice.
    """
    what = f"`{option}` file {str(path)!r}"
    try:
        text = path.read_text()
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        # Nobody needs aliases here, and a few of them can stand for gigabytes.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise InputError(f"{what} must not use YAML aliases; write values out")
        data = yaml.safe_load(text)
    except InputError:
        raise
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
            reason = f"{error.problem} in line {error.problem_mark.line + 1}"
        raise InputError(f"{what} cannot be read: {reason}; give a YAML file") from error
    if not isinstance(data, dict):
        raise InputError(f"{what} must be a mapping, got {type(data).__name__}")
    twice = _repeated(root)
    if twice is not None:
        raise InputError(f"{what} gives {twice!r} twice; keep one of them")
    return data


def _repeated(node: yaml.Node | None) -> str | None:
    """First key that a mapping has twice: YAML itself would quietly keep the last."""
    if isinstance(node, yaml.MappingNode):
        keys = [str(key.value) for key, _ in node.value]
        for key, value in node.value:
            if keys.count(str(key.value)) > 1:
                return str(key.value)
            if (inside := _repeated(value)) is not None:
                return inside
    if isinstance(node, yaml.SequenceNode):
        return next(filter(None, map(_repeated, node.value)), None)
    return None
