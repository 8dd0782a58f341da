"""`TradingModel`: bars in, decisions out; and its form on disk, which proves itself when loaded."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

import adapters
from adapters.base import AdapterError, ModelAdapter
from features.bars import COLUMNS, Bars, validate_bars
from features.errors import InputError
from features.feature_set import FeatureSet, rebuild
from features.interval import Interval
from features.signature import FeatureSignature
from trainer.errors import TrainerError
from trainer.serving.calibrators import Calibrator, calibrator_from_json
from trainer.serving.contract import Contract
from trainer.serving.manifest import (
    EVIDENCE,
    FILES,
    FORMAT_VERSION,
    MANIFEST,
    agrees,
    check_digests,
    golden_frame,
    plain,
    read_json,
    sha256,
    write_json,
)
from trainer.serving.threshold import Threshold

#: Decisions replayed at load.
GOLDEN_ROWS = 5

#: What reading raises where files hold other values than `save` writes, whatever their digests.
_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)

OUTPUT = ("timestamp", "score", "probability", "position")


@dataclass(frozen=True, eq=False)
class TradingModel:
    """A feature set, a fitted adapter, a calibrator and a threshold: all that a decision needs.

    Attributes
    ----------
    contract : Contract
    features : FeatureSet
    adapter : ModelAdapter
    calibrator : Calibrator
    threshold : Threshold
    """

    contract: Contract
    features: FeatureSet
    adapter: ModelAdapter
    calibrator: Calibrator
    threshold: Threshold

    @property
    def required_bars(self) -> int:
        """Bars that one decision needs, the decided bar included."""
        return self.features.memory + self.adapter.lookback

    def decide(
        self, frame: pd.DataFrame, last: int = 0, *, now: pd.Timestamp | None = None
    ) -> pd.DataFrame:
        """Decide at the close of each bar.

        Parameters
        ----------
        frame : pandas.DataFrame
            Columns timestamp (UTC bar OPEN times), open, high, low, close, volume, oldest first.
        last : int, default 0
            Decide the last so many bars only; 0 for every bar with enough history.
        now : pandas.Timestamp, optional
            If given, a last bar that has not closed by then is left out: its close is not known.

        Returns
        -------
        pandas.DataFrame
            timestamp (UTC), score, probability (of a rise), position (-1 short, 0 flat, 1 long).
            Where features are undefined or span a gap, score and probability are NaN and the
            position is 0. A position is filled at the open of the next bar.

        Raises
        ------
        InputError
            If the bars do not pass `features.bars.validate_bars`.
        TrainerError
            If there are fewer bars than needed, or `last` is negative.
        """
        contract = self.contract
        if last < 0:
            raise TrainerError(f"`last` must be >= 0 bars, got {last}; use 0 for all")
        needed = self.required_bars + max(last, 1) - 1
        bars = validate_bars(
            frame.iloc[-needed - (now is not None) :] if last else frame,
            symbol=contract.symbol,
            interval=Interval.parse(contract.interval),
            calendar=contract.calendar,
            allow_jumps=contract.allow_jumps,
            now=now,
        )
        if len(bars) < needed:
            raise TrainerError(
                f"{contract.model}-{contract.symbol} needs at least {needed} bars to decide "
                f"{max(last, 1)}, got {len(bars)}; give more history"
            )
        if last:
            bars = bars.slice(len(bars) - needed, len(bars))
        matrix = self.features.compute(bars)
        usable = self.features.warmed_up(bars, max_gap_bars=contract.max_gap_bars)
        usable &= np.isfinite(matrix).all(axis=1)
        rows = np.flatnonzero(usable)
        score = np.full(len(bars), np.nan)
        if len(rows):
            score[rows] = self.adapter.predict(matrix[rows], rows)
        probability = self.calibrator.transform(score)
        first = self.required_bars - 1
        return pd.DataFrame(
            {
                "timestamp": bars.timestamps[first:],
                "score": score[first:],
                "probability": probability[first:],
                "position": self.threshold.positions(probability)[first:].astype(np.int64),
            }
        )

    def save(
        self,
        folder: Path,
        *,
        bars: Bars,
        metrics: dict[str, Any],
        config: dict[str, Any],
        evidence: dict[str, Any] | None = None,
    ) -> None:
        """Write the model, with golden rows from the end of `bars` that every load must repeat.

        Parameters
        ----------
        folder : pathlib.Path
            New or empty folder.
        bars : Bars
            The bars it was trained on; the last ones become the golden rows.
        metrics, config, evidence : dict
            Figures, settings and all that bears on them: for people and later comparisons.

        Raises
        ------
        TrainerError
            If no stretch of bars has finite scores: there is nothing to hold a load against.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.adapter.save(folder / "model.bin")
        threshold = {"threshold": self.threshold.to_json()}
        write_json(folder / "calibrator.json", {**self.calibrator.to_json(), **threshold})
        write_json(folder / "metrics.json", metrics)
        write_json(folder / EVIDENCE, evidence or {})
        write_json(folder / "features.json", self.features.signature.to_json())
        snapshot = {"contract": asdict(self.contract), "config": config}
        write_json(folder / "config_snapshot.json", snapshot)
        used, decided = self._golden(bars)
        manifest = {
            "format": FORMAT_VERSION,
            "files": {name: sha256(folder / name) for name in FILES},
            "golden": {
                "bars": {"time_ns": used.time_ns.tolist()}
                | {name: getattr(used, name).tolist() for name in COLUMNS[1:]},
                "decisions": [plain(row) for row in decided.to_dict("records")],
            },
            "written_with": {
                "python": platform.python_version(),
                "machine": platform.machine(),
                "numpy": version("numpy"),
                "TA-Lib": version("TA-Lib"),
            },
        }
        write_json(folder / MANIFEST, manifest)

    def _golden(self, bars: Bars) -> tuple[Bars, pd.DataFrame]:
        """Return the latest bars whose decisions rest on finite scores, and those decisions."""
        needed = self.required_bars + GOLDEN_ROWS - 1
        for stop in range(len(bars), needed - 1, -GOLDEN_ROWS):
            used = bars.slice(stop - needed, stop)
            decided = self.decide(used.to_frame(), last=GOLDEN_ROWS)
            if decided["score"].notna().all():
                return used, decided
        raise TrainerError(
            f"{self.contract.model}-{self.contract.symbol} has no {GOLDEN_ROWS} bars in a row to "
            "prove itself by later; give more bars, or allow wider gaps with --max-gap-bars"
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved model: format, digests, parts, then the golden rows are decided again.

        Raises
        ------
        TrainerError
            If a file is missing, altered or of another format, or this machine's code or
            libraries decide the golden rows differently: the message says what differs.
        InputError
            If the features differ from this installation's: with a readable diff.
        """
        try:
            return cls._load(folder)
        except (TrainerError, InputError):
            raise
        except AdapterError as error:
            raise TrainerError(str(error)) from error
        except _DAMAGED as error:
            what = f"{type(error).__name__}: {error}".splitlines()[0]
            raise TrainerError(f"the model's files are damaged ({what}); train again") from error

    @classmethod
    def _load(cls, folder: Path) -> Self:
        manifest = read_json(folder / MANIFEST)
        check_digests(folder, manifest)
        contract = Contract(**read_json(folder / "config_snapshot.json")["contract"])
        calibration = read_json(folder / "calibrator.json")
        threshold = Threshold.from_json(calibration.pop("threshold"))
        calibrator = calibrator_from_json(calibration)
        signature = FeatureSignature.from_json(read_json(folder / "features.json"))
        adapter = adapters.find_stored(contract.model).load(folder / "model.bin")
        model = cls(contract, rebuild(signature), adapter, calibrator, threshold)
        model._replay(manifest)
        return model

    def _replay(self, manifest: dict[str, Any]) -> None:
        frame = golden_frame(manifest)
        expected = manifest["golden"]["decisions"]
        if not expected:
            raise TrainerError("the model has no golden rows to be proven by; train again")
        found = [plain(row) for row in self.decide(frame, last=len(expected)).to_dict("records")]
        for want, have in zip(expected, found, strict=True):
            lines = [
                f"{name} {want[name]!r} became {have[name]!r}"
                for name in OUTPUT
                if not agrees(want[name], have[name])
            ]
            if lines:
                raise TrainerError(
                    f"the model decides differently here at {want['timestamp']}: "
                    f"{', '.join(lines)} (written with {manifest.get('written_with')}); "
                    "use the libraries it was written with, or train again"
                )
