"""Fields of `TrainConfig` as options of the command line: name, default, help are written once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

import click
from pydantic_core import PydanticUndefined

from trainer.config import TrainConfig, option_name

Command = TypeVar("Command", bound=Callable[..., Any])


def config_options(*names: str) -> Callable[[Command], Command]:
    """Give a command one option for each of these fields: their rules live in `TrainConfig`."""

    def give(command: Command) -> Command:
        for name in reversed(names):
            field = TrainConfig.model_fields[name]
            default = None if field.default is PydanticUndefined else option_text(field.default)
            if field.default_factory is not None:
                default = ""
            several = name == "params"
            command = click.option(
                *([option_name(name), "--param"] if several else [option_name(name)]),
                name,
                multiple=several,
                default=() if several else default,
                show_default=bool(default),
                metavar=_metavar(field.annotation),
                help=field.description,
            )(command)
        return command

    return give


def _metavar(annotation: object) -> str:
    if get_origin(annotation) is Literal:
        return f"[{'|'.join(get_args(annotation))}]"
    names = {str: "TEXT", int: "INTEGER", float: "NUMBER", bool: "[on|off]"}
    return names.get(cast(type, annotation), "LIST")


def option_text(value: object) -> str:
    """Write a field's value as the command line takes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
