"""Names of the MLflow tags that more than one module reads or writes.

They are stored with every run and version, so their values never change.
"""

#: What a run is: `CANDIDATE`, `TRIAL`, `FAILURE` or `COMMAND`.
KIND = "kind"
#: Value of `KIND`: a trained model that can be chosen. It counts as a trial.
CANDIDATE = "candidate"
#: Value of `KIND`: a trial of a search. It counts as a trial, and has no model.
TRIAL = "trial"
#: Value of `KIND`: a job without a registered version.
FAILURE = "failure"
#: Value of `KIND`: the parent run of a training command.
COMMAND = "command"

#: Name of the adapter of a run's model.
MODEL = "model"
#: Symbol that a run's model decides on.
SYMBOL = "symbol"

#: Status of the verdict on a run or version, and the reason of that verdict.
STATUS = "status"
STATUS_REASON = "status_reason"

#: Study that a trial of a search belongs to, and the trial as a text of JSON.
SEARCH = "search"
SEARCH_TRIAL = "search_trial"

#: Digests of a version's bars, and of its settings, code and libraries.
DATA_DIGEST = "data_digest"
SETTINGS_DIGEST = "settings_digest"
#: Open time of the last bar that a version was trained on, ISO 8601.
DATA_END = "data_end"
#: Tag of a registered model: why it is to be trained again. A trader may write it.
RETRAIN_REQUESTED = "retrain.requested"
#: Tag of a parent run: number of jobs whose newest version was kept.
UNCHANGED = "unchanged"

#: Run that logged the model of a version.
RUN_ID = "run_id"
#: Version that a rollback registered again.
ROLLBACK_OF = "rollback_of"

#: MLflow's own names: markdown that its UI shows for a run, and the parent of a run.
NOTE = "mlflow.note.content"
PARENT_RUN = "mlflow.parentRunId"
