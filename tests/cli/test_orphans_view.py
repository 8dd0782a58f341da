"""Output of orphans: folders with sizes, versions with reasons, the sums below."""

from __future__ import annotations

import io

from rich.console import Console

from cli.orphans_view import print_report
from trainer.registry.orphans import BrokenVersion, FileReport, Orphan


def printed(report: FileReport) -> str:
    console = Console(file=io.StringIO(), width=160)
    print_report(console, report)
    return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


def test_folders_versions_and_sums_are_printed() -> None:
    orphans = (Orphan("s3://b/1/[x]", 3, 1_600_000), Orphan("s3://b/2", 1, 900_000))
    broken = (BrokenVersion("gru-X", "3", "s3://b/3", "it has no MLmodel"),)
    text = printed(FileReport(1_200, 40, orphans, broken, 5, 6))
    assert "s3://b/1/[x] 3 1.6 MB" in text
    assert "gru-X version 3 s3://b/3 it has no MLmodel" in text
    assert "1,200 folders of runs and models: 2 unknown to the database, 2.5 MB." in text
    assert "40 versions: 1 without files, now or after the next `mlflow gc`." in text
    assert "not yet freed by `mlflow gc`: 5 runs and 6 logged models." in text
    assert "safe if no training ran" in text


def test_without_findings_there_is_one_line() -> None:
    assert printed(FileReport(7, 2, (), (), 0, 0)) == (
        "7 folders of runs and models: all known to the database, or empty. 2 versions: all have "
        "their files."
    )
