"""Values of command-line options: fields of `TrainConfig`, and lists of names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

import click
from click.core import ParameterSource
from pydantic_core import PydanticUndefined

from trainer.config import ALL, Effect, TrainConfig, option_name, option_text
from trainer.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


json_log_option = click.option(
    "--json-log",
    is_flag=True,
    help="Print one JSON object a line, for programs: progress, the end of each job, and the end "
    "with the verdicts.",
)


def split_names(text: str) -> list[str]:
    """Return the names of a comma-separated list, each once.

    Examples
    --------
    >>> split_names("gru, ppo,gru,")
    ['gru', 'ppo']
    """
    return list(dict.fromkeys(filter(None, (part.strip() for part in text.split(",")))))


def chosen_names(option: str, text: str) -> list[str]:
    """Return the names of an option; none for all.

    Raises
    ------
    UsageError
        If there is no name: a script whose variable is empty must not reach all of them.
    """
    names = split_names(text)
    if not names:
        raise UsageError(f"`--{option}` must be names, comma-separated, or {ALL}, got {text!r}")
    return [] if names == [ALL] else names


def config_options(
    *names: str, without_default: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Return a decorator that adds one option for each of these fields to a command.

    Name, default and help text come from `TrainConfig`; it also checks the values. The options of
    `without_default` show no default: what is not given has its meaning in the command.
    """

    def add(command: Command) -> Command:
        # Decorators of click are applied from the last option to the first.
        for name in reversed(names):
            command = _option(name, shown=name not in without_default)(command)
        return command

    return add


def _option(name: str, *, shown: bool) -> Callable[[Command], Command]:
    field = TrainConfig.model_fields[name]
    default = None if field.default is PydanticUndefined else option_text(field.default)
    if field.default_factory is not None or not shown:
        default = ""
    several = name == "params"
    return click.option(
        *([option_name(name), "--param"] if several else [option_name(name)]),
        name,
        multiple=several,
        default=() if several else default,
        show_default=bool(default),
        metavar=_metavar(field.annotation),
        help=field.description,
    )


class TrainCommand(click.Command):
    """A command whose help lists the options that change a model before all others."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in two sections."""
        sections: dict[str, list[tuple[str, str]]] = {
            "Options that change a model": [],
            "Options that leave every model as it is": [],
        }
        of_model, others = sections.values()
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                name = str(param.name)
                (of_model if _changes_a_model(name) else others).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def _changes_a_model(name: str) -> bool:
    if name not in TrainConfig.model_fields:  # --debug and --help
        return False
    return TrainConfig.effect_of(name) is not Effect.RUN


def _metavar(annotation: object) -> str:
    if get_origin(annotation) is Literal:
        return f"[{'|'.join(get_args(annotation))}]"
    names = {str: "TEXT", int: "INTEGER", float: "NUMBER", bool: "[on|off]"}
    return names.get(cast(type, annotation), "LIST")


def given_values(values: Mapping[str, str | tuple[str, ...] | None]) -> dict[str, str]:
    """Return the values of the options that were given.

    An empty text is no value: MLproject passes one for every parameter that was not given.
    """
    texts = {
        name: ",".join(filter(None, value)) if isinstance(value, tuple) else value
        for name, value in values.items()
    }
    return {name: text for name, text in texts.items() if text}


def typed_values(values: Mapping[str, str | tuple[str, ...] | None]) -> dict[str, str]:
    """Return the values that stand on the command line, without defaults."""
    source_of = click.get_current_context().get_parameter_source
    return given_values(
        {n: value for n, value in values.items() if source_of(n) is ParameterSource.COMMANDLINE}
    )
