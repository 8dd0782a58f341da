"""The tags of a registered version: how each is made, and whether a rollback keeps it.

Beside these, a version has one tag for each move of an alias to it (`trainer.registry.alias`). A
rollback keeps none of them: they are the history of the old version.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trainer.evidence.metric_names import stored_name
from trainer.evidence.verdict import Verdict
from trainer.job import TrainedModel
from trainer.serving.manifest import MANIFEST, MANIFEST_TAG, sha256
from trainer.tracking.tag_names import (
    DATA_DIGEST,
    DATA_END,
    ROLLBACK_OF,
    RUN_ID,
    SETTINGS_DIGEST,
    STATUS,
    STATUS_REASON,
)

#: Returns the value of a tag from (run id, trained model, verdict); None leaves the tag out.
_Make = Callable[[str, TrainedModel, Verdict], str | None]


@dataclass(frozen=True)
class VersionTag:
    """A tag of a registered version.

    Attributes
    ----------
    name : str
    meaning : str
        One sentence.
    kept : bool
        Whether a rollback copies it to the new version: it describes the model, which is the same.
    make : callable or None
        Makes the value when a trained model is registered; None for a tag of rollbacks only.
    """

    name: str
    meaning: str
    kept: bool
    make: _Make | None


def _metric(name: str) -> _Make:
    """Return a function that makes the text of a walk-forward metric; None if it is undefined."""

    def make(_run_id: str, trained: TrainedModel, _verdict: Verdict) -> str | None:
        value = trained.headline.metrics[name]
        return f"{value:.4f}" if math.isfinite(value) else None

    return make


VERSION_TAGS = (
    VersionTag(
        RUN_ID,
        "The run that logged the model, where its walk-forward is stored.",
        kept=True,
        make=lambda run_id, trained, verdict: run_id,
    ),
    VersionTag(
        MANIFEST_TAG,
        # It is stored apart from the files: a person who alters them cannot alter it as well.
        "Digest of the manifest, which proves that the files are those that were verified.",
        kept=True,
        make=lambda run_id, trained, verdict: sha256(trained.folder / MANIFEST),
    ),
    VersionTag(
        DATA_DIGEST,
        "Digest of the bars that the model was trained on.",
        kept=True,
        make=lambda run_id, trained, verdict: trained.data.digest,
    ),
    VersionTag(
        DATA_END,
        "Open time of the last bar that the model was trained on, by which it becomes stale.",
        kept=True,
        make=lambda run_id, trained, verdict: trained.data.last,
    ),
    VersionTag(
        SETTINGS_DIGEST,
        "Digest of settings, code and libraries: with equal ones, equal bars are not trained on "
        "again.",
        kept=True,
        make=lambda run_id, trained, verdict: trained.settings_digest or None,
    ),
    VersionTag(
        "feature_signature",
        "Digest of the features: names, parameters and formulas.",
        kept=True,
        make=lambda run_id, trained, verdict: str(trained.params["feature_signature"]),
    ),
    VersionTag(
        STATUS,
        "Status of the verdict, which `trader.py` prints.",
        kept=True,
        make=lambda run_id, trained, verdict: verdict.status,
    ),
    VersionTag(
        STATUS_REASON,
        "Reason of the verdict, which `trader.py` prints.",
        kept=True,
        make=lambda run_id, trained, verdict: verdict.reason,
    ),
    VersionTag(
        stored_name("net_sharpe"),
        "Net Sharpe ratio of the walk-forward; missing if it is undefined.",
        kept=True,
        make=_metric("net_sharpe"),
    ),
    VersionTag(
        stored_name("gross_sharpe"),
        "Gross Sharpe ratio of the walk-forward; missing if it is undefined.",
        kept=True,
        make=_metric("gross_sharpe"),
    ),
    VersionTag(
        ROLLBACK_OF,
        "The older version that a rollback registered again.",
        kept=False,
        make=None,
    ),
)


def version_tags(run_id: str, trained: TrainedModel, verdict: Verdict) -> dict[str, str]:
    """Return the tags with which a trained model is registered.

    Parameters
    ----------
    run_id : str
        Run that logged the model.
    trained : TrainedModel
    verdict : Verdict
    """
    values = {
        tag.name: tag.make(run_id, trained, verdict) for tag in VERSION_TAGS if tag.make is not None
    }
    return {name: value for name, value in values.items() if value is not None}


def rollback_tags(old: Mapping[str, str], version: str) -> dict[str, str]:
    """Return the tags with which a rollback registers an older version again.

    Parameters
    ----------
    old : mapping of str to str
        All tags of the older version.
    version : str
        Its number.
    """
    kept = {tag.name: old[tag.name] for tag in VERSION_TAGS if tag.kept and tag.name in old}
    return {**kept, ROLLBACK_OF: version}
