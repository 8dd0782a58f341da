"""Options that come from fields of `TrainConfig`."""

from __future__ import annotations

import click
from click.testing import CliRunner

from cli.options import TrainCommand, config_options, given_values
from trainer.config import TrainConfig


@click.command(cls=TrainCommand)
@config_options(*TrainConfig.model_fields)
@click.option("--debug", is_flag=True, help="A switch of the command.")
def command(**values: object) -> None:
    click.echo(repr(values))


def test_an_option_has_the_name_default_and_help_of_its_field() -> None:
    options = {parameter.name: parameter for parameter in command.params}
    assert list(options) == [*TrainConfig.model_fields, "debug"]
    for name, field in TrainConfig.model_fields.items():
        option = options[name]
        assert isinstance(option, click.Option)
        assert option.opts[0] == "--" + name.replace("_", "-")
        assert option.help == field.description
    assert options["n_splits"].default == "5"
    assert options["fee_bps"].default == "10"
    assert options["allow_short"].default == "on"
    assert options["models"].default == "gru,lightgbm,ppo"
    assert options["calibration"].make_metavar(click.Context(command)) == (
        "[platt|isotonic|none|auto]"
    )


def test_values_of_all_options_are_the_defaults_of_the_fields() -> None:
    result = CliRunner().invoke(command, ["--symbols", "EURUSD", "--source", "sample"])
    values = given_values({**eval(result.output), "debug": None})
    config = TrainConfig.parse({name: value for name, value in values.items() if value})
    assert config == TrainConfig.parse({"symbols": "EURUSD", "source": "sample"})


def test_hyperparameters_may_be_given_several_times() -> None:
    result = CliRunner().invoke(
        command, ["--param", "gru.hidden=16", "--params", "lightgbm.num_leaves=7"]
    )
    values = eval(result.output)
    assert given_values({"params": values["params"]}) == {
        "params": "gru.hidden=16,lightgbm.num_leaves=7"
    }


def test_help_has_two_sections() -> None:
    output = CliRunner().invoke(command, ["--help"]).output
    changes, leaves = (output.index(text) for text in ("change a model:", "as it is:"))
    assert changes < output.index("--horizon") < leaves < output.index("--cache-folder")
    assert leaves < output.index("--debug")


def test_an_empty_text_is_no_value() -> None:
    given = given_values({"a": "", "b": None, "c": ("", ""), "d": ("x", "", "y"), "e": "z"})
    assert given == {"d": "x,y", "e": "z"}
