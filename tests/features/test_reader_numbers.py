from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from features.errors import InputError
from features.reader_numbers import numbers
from features.reader_table import Table


def _table(values: object) -> Table:
    return Table("a.parquet", pd.DataFrame({"Last": values}), ("Last",))


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8", "Int64", "Float32"])
def test_numbers_keep_their_type(dtype: str) -> None:
    values = pd.Series([1, 2], dtype=dtype)
    pd.testing.assert_series_equal(numbers(_table(values), "Last", "close"), values.rename("Last"))


@pytest.mark.parametrize(
    "values",
    [
        ["1.5", " 2e3 ", None],
        pd.Categorical(["1.5", "2000", None]),
        [Decimal("1.5"), Decimal("2000"), None],
        pd.array(["1.5", "2000", None], dtype="string"),
        [1.5, "2000", np.nan],
    ],
    ids=["text", "categories", "decimals", "string", "mixed"],
)
def test_other_numbers_are_converted(values: object) -> None:
    read = numbers(_table(values), "Last", "close")
    assert read.dtype == np.float64
    assert read.tolist()[:2] == [1.5, 2000]
    assert np.isnan(read.iloc[2])


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("1,234.5", "has a comma"),
        ("1.234,5", "has a comma"),
        ("1,5", "has a comma"),
        ("-1,5", "has a comma"),
        ("$1.23", "has a sign of a currency"),
        ("1.23 €", "has a sign of a currency"),
        ("12.3K", "has a unit such as K or M"),
        ("4.5 m", "has a unit such as K or M"),
        ("1.2bn", "has a unit such as K or M"),
        ("1 234", "has a space or a sign between digits"),
        ("1\u00a0234", "has a space or a sign between digits"),
        ("1'234", "has a space or a sign between digits"),
        ("12%", "has a percent sign"),
        ("1.234.567", "has more than one point"),
    ],
)
def test_numbers_that_are_not_plain_are_refused(value: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        numbers(_table(["1.5", None, value, "x"]), "Last", "close")
    assert str(caught.value) == (
        f"a.parquet, row 2: `close` is {value!r}, which {problem}; write plain numbers such as "
        "1234.5"
    )


@pytest.mark.parametrize("value", ["Total: 1,400 rows", "-", "close", "nan", "12 USD", "1_000"])
def test_text_is_refused(value: str) -> None:
    with pytest.raises(InputError) as caught:
        numbers(_table(["1.5", value]), "Last", "close")
    assert str(caught.value) == (
        f"a.parquet, row 1: `close` is {value!r}, which is no number; remove or repair it"
    )


@pytest.mark.parametrize(
    "values", [[True, False], [1j, 2j], pd.to_datetime(["2024-01-30"]), pd.to_timedelta(["1h"])]
)
def test_other_types_are_refused(values: object) -> None:
    with pytest.raises(
        InputError, match=r"^a\.parquet, row 0: `close` is '.*', which is no number"
    ):
        numbers(_table(values), "Last", "close")
