"""Jobs that need no training: their newest version has the same bars, settings, code, libraries."""

from __future__ import annotations

import hashlib
import json
from functools import partial

import adapters
from barwright import BarwrightError
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.job import Job
from trainer.procedure.fit_key import code_digest, libraries_digest
from trainer.registry.newest import KeptVersion, Newest

#: Packages whose code decides what a trained model is, beside those of its adapter.
_PACKAGES = ("features", "trainer")
#: Options without an effect on a model that have one on its verdict.
_OF_VERDICT = ("against", "search")


class Unchanged:
    """Finds jobs that would make the newest version of their name again.

    Parameters
    ----------
    newest : Newest
    """

    def __init__(self, newest: Newest) -> None:
        self._newest = newest
        self._digests: dict[tuple[object, ...], str | None] = {}

    def find(self, job: Job, config: TrainConfig) -> KeptVersion | None:
        """Return the version that the job would make again; None if it is to be trained."""
        digest = partial(self._bars_digest, job.symbol, config)
        return self._newest.unchanged(job.name, settings_digest(job, config), digest)

    def _bars_digest(self, symbol: str, config: TrainConfig) -> str | None:
        """Return the digest of the bars; None if they cannot be read, as training will say."""
        key = (symbol, config.source, config.interval, config.calendar, config.allow_jumps)
        if key not in self._digests:
            try:
                self._digests[key] = make_builder(config).read(symbol)[0].digest
            except BarwrightError:
                self._digests[key] = None
        return self._digests[key]


def settings_digest(job: Job, config: TrainConfig) -> str:
    """Return a digest of all that a version follows from, beside the bars.

    This is the model with its symbol, every setting, the features, the code and the libraries. The
    hyperparameters of other models do not count.

    Returns
    -------
    str
        SHA-256, in hexadecimal.
    """
    parts = {
        "job": [job.symbol, job.model],
        "settings": {**config.model_settings(), "params": config.params.get(job.model, {})},
        "verdict": {name: getattr(config, name) for name in _OF_VERDICT},
        # A file of features may change while its name stays.
        "features": make_builder(config).features.signature.digest,
        "code": code_digest((*_PACKAGES, *adapters.packages(job.model))),
        "libraries": libraries_digest(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
