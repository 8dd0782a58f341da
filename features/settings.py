"""Read a YAML file of settings into a plain mapping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from features.errors import InputError

#: Characters of a file. The parser takes three seconds for a million of them.
_MOST_CHARACTERS = 1_000_000


def read_settings(path: Path, option: str) -> dict[str, Any]:
    """Read a YAML file that contains one mapping.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    option : str
        The option that names the file, for messages.

    Raises
    ------
    InputError
        If the file is missing, is too large, is not YAML, is not a mapping, uses aliases, or
        contains a key twice.
    """
    subject = f"`{option}` file {str(path)!r}"
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MOST_CHARACTERS + 1)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{subject} cannot be read: {reason}; give a YAML file") from error
    if len(text) > _MOST_CHARACTERS:
        raise InputError(
            f"{subject} must have at most {_MOST_CHARACTERS:,} characters; is it a file of "
            "settings?"
        )
    return _mapping(text, subject)


def read_features(text: str) -> dict[str, Any]:
    """Return the content of a features file, or of names of groups separated by commas.

    Parameters
    ----------
    text : str
        Empty for all features. A name with a dot or a slash, or of an existing file, is a file; a
        text that begins with a brace is the content itself.

    Raises
    ------
    InputError
        As `read_settings`.

    Examples
    --------
    >>> read_features("returns, volume")
    {'groups': ['returns', 'volume']}
    >>> read_features("{groups: [returns]}")
    {'groups': ['returns']}
    """
    if not text:
        return {}
    if are_groups(text):
        return {"groups": [name.strip() for name in text.split(",") if name.strip()]}
    if text.startswith("{"):
        return _mapping(text, "`features`")
    return read_settings(Path(text).expanduser(), "features")


def are_groups(text: str) -> bool:
    """Return whether a choice of features is names of groups: no file, and no content of one.

    Examples
    --------
    >>> are_groups("returns,volume"), are_groups("my.yaml"), are_groups("{groups: [returns]}")
    (True, False, False)
    """
    return not (text.startswith("{") or "." in text or "/" in text or Path(text).is_file())


def _mapping(text: str, subject: str) -> dict[str, Any]:
    """Return the mapping of a YAML text."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        # Settings need no aliases, and a few nested aliases can expand to gigabytes.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise InputError(f"{subject} must not use YAML aliases; write values out")
        data = yaml.safe_load(text)
    except InputError:
        raise
    except Exception as error:  # a value that does not fit its tag may raise anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
            reason = f"{error.problem} in line {error.problem_mark.line + 1}"
        raise InputError(f"{subject} cannot be read: {reason}; give a YAML file") from error
    if data is None:
        raise InputError(f"{subject} is empty; write one `name: value` on each line")
    if not isinstance(data, dict):
        raise InputError(
            f"{subject} must map names to values; write one `name: value` on each line"
        )
    duplicate = _duplicate_key(root)
    if duplicate is not None:
        raise InputError(f"{subject} gives {duplicate!r} twice; keep one of them")
    return data


def _duplicate_key(node: yaml.Node | None) -> str | None:
    """Return the first key that a mapping contains twice, because YAML keeps only the last one."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if str(key.value) in seen:
                return str(key.value)
            seen.add(str(key.value))
            if (nested := _duplicate_key(value)) is not None:
                return nested
    if isinstance(node, yaml.SequenceNode):
        return next(filter(None, map(_duplicate_key, node.value)), None)
    return None
