"""Groups of files, and the sentence on what was removed."""

from __future__ import annotations

from dataclasses import replace

from cli.cache_view import Contents, Pruned
from trainer.procedure.fit_files import FitFile, fit_name
from trainer.procedure.fit_place import KeptFile


def file_of(job: str, size: int, used: float) -> FitFile:
    file = FitFile.of(KeptFile(fit_name(job, f"{size:064x}"), size, used))
    assert file is not None
    return file


FIRST, SECOND = file_of("gru-B", 1, 60.0), file_of("gru-B", 2, 120.0)
OTHER = replace(file_of("gru-A", 4, 180.0), code="01234567")
HALF = replace(FIRST, kind="unfinished", size=8)


def test_files_are_grouped_by_model_and_by_why_they_are_never_read() -> None:
    values = Contents.of("place", [FIRST, OTHER, SECOND, HALF], {}).to_json()
    assert values["models"] == [
        {"name": "gru-A", "fits": 1, "bytes": 4, "oldest": "1970-01-01 00:03",
         "newest": "1970-01-01 00:03"},
        {"name": "gru-B", "fits": 2, "bytes": 3, "oldest": "1970-01-01 00:01",
         "newest": "1970-01-01 00:02"},
    ]  # fmt: skip
    assert [(group["name"], group["bytes"]) for group in values["unused"]] == [
        ("made by other code", 4), ("half-written", 8),
    ]  # fmt: skip


def test_what_was_removed_is_one_sentence() -> None:
    pruned = Pruned("place", [OTHER, FIRST], [SECOND], dry_run=False)
    assert pruned.text == (
        "place: removed 2 files, 0.00 MB (1 of them no command of this version reads); "
        "1 file, 0.00 MB, are left."
    )
    assert pruned.to_json() == {
        "place": "place", "dry_run": False, "removed": [OTHER.name, FIRST.name], "freed_bytes": 5,
        "files": 1, "bytes": 2,
    }  # fmt: skip
