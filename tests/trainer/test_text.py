"""Numbers as text: one function, and what it writes for an undefined number."""

import math

import pytest

from trainer.text import number_text


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (1234.567, ".2f", "1234.57"),
        (1234.567, ",.0f", "1,235"),
        (-0.5, "+.2f", "-0.50"),
        (0.25, ".1%", "25.0%"),
        (0.0, ".2f", "0.00"),
        (7, ".0f", "7"),
    ],
)
def test_a_number_is_written_in_the_given_form(value, form, text):
    assert number_text(value, form) == text


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_undefined(value):
    assert number_text(value) == "undefined"
    assert number_text(value, ".3f", undefined="-") == "-"
