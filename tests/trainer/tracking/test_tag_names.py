"""Names of tags, which are stored with every run and version and so never change."""

from __future__ import annotations

from trainer.tracking import tag_names


def test_the_stored_names_stay() -> None:
    names = {name: value for name, value in vars(tag_names).items() if name.isupper()}
    assert names == {
        "KIND": "kind",
        "CANDIDATE": "candidate",
        "TRIAL": "trial",
        "FAILURE": "failure",
        "COMMAND": "command",
        "MODEL": "model",
        "SYMBOL": "symbol",
        "STATUS": "status",
        "STATUS_REASON": "status_reason",
        "SEARCH": "search",
        "SEARCH_TRIAL": "search_trial",
        "DATA_DIGEST": "data_digest",
        "SETTINGS_DIGEST": "settings_digest",
        "DATA_END": "data_end",
        "RETRAIN_REQUESTED": "retrain.requested",
        "UNCHANGED": "unchanged",
        "RUN_ID": "run_id",
        "ROLLBACK_OF": "rollback_of",
        "NOTE": "mlflow.note.content",
        "PARENT_RUN": "mlflow.parentRunId",
    }
