"""The newest versions of names, compared with what a command would register."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from trainer.evidence.metric_names import from_stored
from trainer.evidence.verdict import Verdict
from trainer.serving.manifest import MANIFEST_TAG
from trainer.tracking.model_uri import newest_version
from trainer.tracking.tag_names import (
    DATA_DIGEST,
    RUN_ID,
    SETTINGS_DIGEST,
    STATUS,
    STATUS_REASON,
)


@dataclass(frozen=True)
class KeptVersion:
    """A version that a job would make again.

    Attributes
    ----------
    version, run_id : str
    verdict : Verdict
        As it is stored, without criteria.
    metrics : mapping of str to float
        Metrics of its walk-forward, without prefix.
    manifest_sha256 : str
        Digest of the manifest of its model.
    """

    version: str
    run_id: str
    verdict: Verdict
    metrics: Mapping[str, float]
    manifest_sha256: str = ""


class Newest:
    """Finds versions that need not be made again.

    Parameters
    ----------
    client : mlflow.MlflowClient
    experiment_id : str
        A version whose run is in another experiment is not kept: its run would be missing here.
    """

    def __init__(self, client: MlflowClient, experiment_id: str) -> None:
        self._client, self._experiment_id = client, experiment_id
        self._seen: dict[str, str] = {}

    def unchanged(
        self, name: str, settings_digest: str, bars_digest: Callable[[], str | None]
    ) -> KeptVersion | None:
        """Return the newest version of a name if it has these digests; None otherwise.

        It counts only with all of its evidence: a command that was killed right after the
        registration has left some of it out.

        Parameters
        ----------
        name, settings_digest : str
        bars_digest : callable
            Called only if the settings are equal: it reads bars.
        """
        newest = newest_version(self._client, name)
        self._seen[name] = "" if newest is None else str(newest.version)
        if newest is None or newest.tags.get(SETTINGS_DIGEST) != settings_digest:
            return None
        if newest.tags.get(DATA_DIGEST) != bars_digest():
            return None
        kept = self._read(newest)
        return kept if kept is not None and _is_whole(kept) else None

    def equal(self, name: str, settings_digest: str, data_digest: str) -> KeptVersion | None:
        """Return the newest version if it has these digests, whoever registered it."""
        newest = newest_version(self._client, name)
        digests = {SETTINGS_DIGEST: settings_digest, DATA_DIGEST: data_digest}
        if newest is None or not digests.items() <= newest.tags.items():
            return None
        return self._read(newest)

    def is_left(self, name: str, kept: KeptVersion, manifest_sha256: str) -> bool:
        """Return whether a killed command has left this version without all of its evidence.

        A version that was registered after `unchanged` was called is one of a command that is at
        work: that one completes it.

        Parameters
        ----------
        name : str
        kept : KeptVersion
            As `equal` returns it.
        manifest_sha256 : str
            Digest of the model that was trained here. Only if it is the same model does the
            evidence on it belong to this version.
        """
        same = kept.manifest_sha256 == manifest_sha256
        return same and self._seen.get(name) == kept.version and not _is_whole(kept)

    def _read(self, version: ModelVersion) -> KeptVersion | None:
        """Return a version with the results of its run; None if that run is not of this place."""
        run_id = version.tags.get(RUN_ID, "")
        found = self._client.search_runs(
            [self._experiment_id], f"attributes.run_id = '{run_id}'", max_results=1
        )
        if not found:
            return None
        tags = version.tags
        verdict = Verdict(tags.get(STATUS, ""), tags.get(STATUS_REASON, ""), [])
        return KeptVersion(
            str(version.version),
            run_id,
            verdict,
            from_stored(found[0].data.metrics),
            tags.get(MANIFEST_TAG, ""),
        )


def _is_whole(kept: KeptVersion) -> bool:
    return "trials" in kept.metrics and kept.verdict.reason != Verdict.of("", []).reason
