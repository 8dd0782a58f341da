"""Names of files of a fit cache, and which of them go first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trainer.procedure.fit_files import FitFile, fit_name, surplus
from trainer.procedure.fit_place import KeptFile

KEY = "0123456789abcdef" * 4
NAME = fit_name("my-model_2-BRK.B_x", KEY)
NOW = 1_000_000.0


def of(name: str, used: float = NOW, size: int = 10) -> FitFile | None:
    return FitFile.of(KeptFile(name, size, used))


def test_a_name_says_whose_fit_it_is() -> None:
    file = of(NAME)
    assert file is not None
    assert (file.kind, file.job, file.key) == ("fit", "my-model_2-BRK.B_x", KEY[:32])
    assert file.is_current
    assert not replace(file, code="01234567").is_current


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (f"lightgbm_{KEY[:32]}.bin", "older"),
        (f"lightgbm_{KEY[:32]}.json", "older"),
        (f".{NAME}.{KEY[:32]}", "unfinished"),
        (f".lightgbm_{KEY[:32]}.bin.{KEY[:32]}", "unfinished"),
        (f"{NAME}.{KEY[:32]}", None),
        (f".{NAME}", None),
        (NAME.replace(KEY[:32], "x" * 32), None),
        ("notes.fit", None),
        ("thesis.bin", None),
    ],
    # The name of a fit contains a digest of the code.
    ids=range(9),
)
def test_files_of_other_kinds(name: str, kind: str | None) -> None:
    file = of(name)
    assert (None if file is None else file.kind) == kind
    assert file is None or not file.is_current


def removed(*files: FitFile | None, **limits: float) -> list[str]:
    given = [file for file in files if file is not None]
    return [file.name for file in surplus(given, now=NOW, **limits)]  # type: ignore[arg-type]


def test_what_no_command_reads_goes_first_then_what_was_used_longest_ago() -> None:
    fits = [of(fit_name(f"m-{number}", KEY), NOW - number) for number in range(4)]
    assert fits[0] is not None
    code = replace(fits[0], name="code", code="01234567", used=NOW - 2)
    older = of(f"older_{KEY[:32]}.bin", NOW)
    names = [file.name for file in fits if file is not None]
    order = ["code", f"older_{KEY[:32]}.bin", *reversed(names)]
    for count in range(7):
        assert removed(*fits, code, older, max_size=60 - 10 * count) == order[:count]
    assert removed(*fits, code, older, max_size=55) == order[:1]
    assert removed(*fits, code, older) == []


def test_age_alone_spares_other_code() -> None:
    young, old = of(fit_name("young", KEY), NOW - 5), of(fit_name("old", KEY), NOW - 5.1)
    assert young is not None
    other = replace(young, name="other", code="01234567")
    assert removed(young, old, other, older_than=5) == [fit_name("old", KEY)]
    assert removed(young, old, other, older_than=5, max_size=10) == [fit_name("old", KEY), "other"]


def test_a_file_that_may_still_be_written_stays() -> None:
    young = of(f".{NAME}.{KEY[:32]}", NOW - 3_599)
    old = of(f".{NAME}.{KEY[::-1][:32]}", NOW - 3_601)
    assert old is not None
    assert removed(young, old, max_size=0, older_than=0) == [old.name]
    assert removed(young, old) == [old.name]
