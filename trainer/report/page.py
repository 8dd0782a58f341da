"""Everything that the report shows of one model, as one value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from trainer.evidence.evidence import Evidence
from trainer.evidence.headline import Headline
from trainer.evidence.metric_names import from_stored, to_stored
from trainer.job import TrainedModel
from trainer.search.trial import Trial
from trainer.serving.contract import Contract

#: Fields of a contract; a page of an earlier version lacks those that were added since.
_CONTRACT = tuple(field.name for field in fields(Contract))


@dataclass(frozen=True)
class Page:
    """The content of a report, before anything is drawn or written.

    Attributes
    ----------
    contract : Contract
    headline : Headline
        Metrics and blocks of the walk-forward.
    evidence : Evidence
    status : str
        ``flat``, ``unproven`` or ``proven``; empty if nothing was judged yet.
    understood : str
        How the source read the bars (`trainer.job.DataFacts.understood`); empty if it is not
        recorded.
    search : tuple of Trial
        Trials of the search that chose the settings, by number; empty if none did.
    settings : str
        Settings that differ from the defaults; empty if none does or they are not recorded.
    """

    contract: Contract
    headline: Headline
    evidence: Evidence
    status: str
    understood: str = ""
    search: tuple[Trial, ...] = ()
    settings: str = ""

    @classmethod
    def of_trained(cls, trained: TrainedModel, status: str) -> Self:
        """Return the page of a candidate."""
        return cls(
            trained.contract,
            trained.headline,
            trained.evidence,
            status,
            trained.data.understood,
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; a number that is null is NaN."""
        stored = {"metrics": to_stored(data["metrics"]), "blocks": data["blocks"]}
        return cls(
            contract=Contract(**{name: data[name] for name in _CONTRACT if name in data}),
            headline=Headline.from_json(stored),
            evidence=Evidence.from_json(data),
            status=data.get("status", ""),
            understood=data.get("understood", ""),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the page as one flat object; undefined numbers are null.

        The selection metrics of the headline (``val_...``) are left out, because the report does
        not show them; the trials of a search, because they are runs of their own.
        """
        stored = self.headline.to_json()
        return {
            **self.evidence.to_json(),
            **asdict(self.contract),
            "understood": self.understood,
            "status": self.status,
            "blocks": stored["blocks"],
            "metrics": from_stored(stored["metrics"]),
        }

    def metric(self, name: str) -> float:
        """Return a metric of the walk-forward; NaN if it is infinite, undefined or missing."""
        value = self.headline.metrics.get(name, math.nan)
        return value if math.isfinite(value) else math.nan

    @property
    def why_undefined(self) -> str:
        """Reason why the headline has no value: no trade, or no measurement."""
        return "never traded" if self.metric("n_trades") == 0 else "not measured"

    @property
    def has_threshold(self) -> bool:
        """Whether the position rule has a threshold; break-even has none."""
        return self.contract.position != "break-even"
