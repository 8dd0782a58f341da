"""Output of prune: ranges of versions, reasons, runs by reason, and deleted trials."""

from __future__ import annotations

import io

from rich.console import Console

from cli.prune_view import print_plan, print_removal
from trainer.registry.prune import NeededVersion, OldVersion, Plan, Removal
from trainer.tracking.old_runs import EMPTY, FAILED, OldRun


def plan(**changes: object) -> Plan:
    versions = tuple(OldVersion("gru-X", number, "", "") for number in ("1", "2", "3", "7"))
    needed = (
        NeededVersion("gru-X", "4", "@champion"),
        NeededVersion("gru-X", "5", "version 6 is a rollback of it"),
        NeededVersion("ppo-X", "1", "@[odd]"),
    )
    runs = tuple(OldRun(str(n), "", why, ()) for n, why in enumerate((FAILED, FAILED, EMPTY)))
    settings = {
        "versions": versions, "needed": needed, "staying": 1_234, "runs": runs, "lost_trials": (),
        **changes,
    }  # fmt: skip
    return Plan(**settings)  # type: ignore[arg-type]


def printed(plan: Plan, removal: Removal | None = None) -> str:
    console = Console(file=io.StringIO(), width=120)
    print_plan(console, plan)
    print_removal(console, plan, removal)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return " ".join(text.split())


def test_versions_are_ranges_with_the_reasons_of_those_that_stay() -> None:
    text = printed(plan())
    assert "gru-X 1-3, 7 4: @champion; 5: version 6 is a rollback of it" in text
    assert "ppo-X - 1: @[odd]" in text
    assert "failed 2 command without runs 1" in text
    assert text.endswith(
        "Nothing was removed. --apply removes 4 versions and 3 runs; 1,234 versions stay."
    )


def test_without_anything_old_there_is_one_line() -> None:
    nothing = plan(versions=(), needed=(), runs=())
    assert printed(nothing) == "There is nothing to remove; 1,234 versions stay."


def test_deleted_trials_are_a_warning_with_the_way_out() -> None:
    text = printed(plan(lost_trials=tuple(f"run{number}" for number in range(12))))
    assert "Deleted trials: 12 runs were deleted that count as trials." in text
    assert "`mlflow runs restore --run-id ID`: run0, run1, run2," in text
    assert "run9, ..." in text
    assert "run10" not in text


def test_what_was_removed_and_what_stays_after_all_is_printed() -> None:
    text = printed(plan(), Removal(3, 2, 1, ("version 3 of gru-X: @[x] points to it now",)))
    assert "Stays: version 3 of gru-X: @[x] points to it now" in text
    assert text.endswith(
        "Removed 3 versions, 2 logged models and 1 run. `mlflow gc` frees their files."
    )
