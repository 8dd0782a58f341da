"""Names of tags, which are stored with every run and version and so never change."""

from __future__ import annotations

from trainer.tracking import tag_names


def test_the_stored_names_are_those_of_the_first_version() -> None:
    names = {name: value for name, value in vars(tag_names).items() if name.isupper()}
    assert names == {
        "KIND": "kind",
        "CANDIDATE": "candidate",
        "FAILURE": "failure",
        "COMMAND": "command",
        "MODEL": "model",
        "SYMBOL": "symbol",
        "STATUS": "status",
        "STATUS_REASON": "status_reason",
        "RUN_ID": "run_id",
        "ROLLBACK_OF": "rollback_of",
        "NOTE": "mlflow.note.content",
        "PARENT_RUN": "mlflow.parentRunId",
    }
