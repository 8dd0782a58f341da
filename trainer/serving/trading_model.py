"""`TradingModel` turns bars into decisions; its saved form is verified when it is loaded."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

import adapters
from adapters.base import AdapterError, ModelAdapter
from barwright import BarwrightError
from features.bars import COLUMNS, Bars, validate_bars
from features.calendar_option import choose_calendar
from features.calendars import RETIRED, CalendarSpec
from features.feature_set import FeatureSet, rebuild
from features.interval import Interval
from features.signature import FeatureSignature
from trainer.arrays import IntArray
from trainer.errors import TrainerError, UnknownPositionError
from trainer.serving.calibrators import Calibrator, calibrator_from_json
from trainer.serving.contract import Contract
from trainer.serving.decided import Decided
from trainer.serving.manifest import (
    DAMAGED,
    DATED_BARS,
    EVIDENCE,
    FILES,
    FORMAT_VERSION,
    GOLDEN_ROWS,
    MANIFEST,
    agrees,
    check_digests,
    decision_to_json,
    golden_frame,
    golden_held,
    read_json,
    sha256,
    write_json,
)
from trainer.serving.position_rule import PositionRule
from trainer.serving.rules import rule_from_json
from trainer.statistics.volatility import move_size

#: Columns of `TradingModel.decide`.
OUTPUT = ("timestamp", "score", "probability", "position")
#: Bars before the decided ones that are looked at first for what a rule holds.
_REPLAYED = 64


@dataclass(frozen=True, eq=False)
class TradingModel:
    """All parts of a decision: features, a fitted adapter, a calibrator and a position rule.

    Attributes
    ----------
    contract : Contract
    features : FeatureSet
    adapter : ModelAdapter
    calibrator : Calibrator
    threshold : PositionRule
    former_calendar : CalendarSpec, optional
        Of a model of Barwright 0.1 whose calendar was ``equity``: the calendar of its golden bars.
    reads_stamps : bool
        Whether features read the times with which daily bars are stamped, in place of their dates:
        models of the formats 1 and 2.
    """

    contract: Contract
    features: FeatureSet
    adapter: ModelAdapter
    calibrator: Calibrator
    threshold: PositionRule
    former_calendar: CalendarSpec | None = None
    reads_stamps: bool = False

    @cached_property
    def calendar(self) -> CalendarSpec:
        """Return the calendar by which bars are read."""
        return self.former_calendar or CalendarSpec.parse(self.contract.calendar)

    @property
    def required_bars(self) -> int:
        """Number of bars that one decision needs, including the decided bar."""
        features = self.features.memory + self.adapter.lookback
        return max(features, self.threshold.volatility_window + 1)

    def decide(
        self,
        frame: pd.DataFrame,
        last: int = 0,
        *,
        now: pd.Timestamp | None = None,
        held: int | None = None,
    ) -> pd.DataFrame:
        """Decide at the close of each bar.

        Parameters
        ----------
        frame : pandas.DataFrame
            Columns timestamp (UTC bar OPEN times), open, high, low, close, volume, oldest first.
        last : int, default 0
            Number of bars at the end to decide; 0 for every bar with enough history that tells
            what is held.
        now : pandas.Timestamp, optional
            If given, a last bar that has not closed by then is left out: its close is not known.
        held : int, optional
            Position before the first decided bar: -1, 0 or 1. A rule that holds positions needs it
            where the bars do not tell what is held.

        Returns
        -------
        pandas.DataFrame
            timestamp (UTC), score, probability (of a rise), position (-1 short, 0 flat, 1 long).
            Where features are undefined, or features or the window of a sequence model span a wide
            gap, score and probability are NaN and the position is 0. A position is executed at the
            open of the next bar.

        Raises
        ------
        InputError
            If the bars do not pass `features.bars.validate_bars`.
        TrainerError
            If there are fewer bars than needed, or `last` is negative.
        UnknownPositionError
            If a position depends on what came before the bars.
        """
        return self.decide_last(frame, last, now=now, held=held)[1].to_frame()

    def decide_last(
        self,
        frame: pd.DataFrame,
        last: int = 0,
        *,
        now: pd.Timestamp | None = None,
        held: int | None = None,
    ) -> tuple[Bars, Decided]:
        """Return the last decisions, and the bars that end with theirs; see `decide`.

        Of a rule that holds positions, more bars are looked at until they tell what is held: a
        signal, a bar without a probability, or probabilities on both sides of 0.5.
        """
        if held not in (None, -1, 0, 1):
            raise TrainerError(f"`held` must be -1, 0 or 1, got {held}; leave it out if unknown")
        earlier = self.threshold.memory
        if self.threshold.holds and held is None:
            earlier += _REPLAYED
        while True:
            bars = self.needed_bars(frame, last, now=now, earlier=earlier)
            decided = self.decide_bars(bars, last=last, held=held).last(last)
            if len(decided.certain) and decided.certain.all():
                return bars, decided
            if not last or len(bars) < self.required_bars + last - 1 + earlier:
                raise self._unknown(len(bars), max(last, 1), held)
            earlier *= 4

    def _unknown(self, given: int, last: int, held: int | None) -> UnknownPositionError:
        """Return the error of bars that do not tell the positions that are asked for."""
        needed = self.required_bars + last - 1 + self.threshold.memory
        if given < needed and (held is not None or not self.threshold.holds):
            way_out = f"{needed:,} bars are enough for its mean over {self.threshold.smooth} bars"
        else:
            way_out = "give more history, or the position held (`held`, of the trader `--held`)"
        return UnknownPositionError(
            f"the position of {self.contract.model}-{self.contract.symbol} is unknown: it depends "
            f"on what came before these {given:,} bars; {way_out}"
        )

    def decide_end(self, frame: pd.DataFrame, last: int) -> tuple[Bars, Decided, int | None]:
        """Return the last decisions of a series that begins with these bars; see `decide_last`.

        The last value is the position before the decided bars; None if the bars tell it. Where they
        do not, the position before the first bar is flat, as in training: so with a model whose
        probabilities are all above 0.5 and never reach its entry.
        """
        try:
            return *self.decide_last(frame, last), None
        except UnknownPositionError:
            position = self.decide_bars(self.needed_bars(frame), held=0, begins=True).position
            held = int(position[-last - 1]) if len(position) > last else 0
            return *self.decide_last(frame, last, held=held), held

    def decide_bars(
        self, bars: Bars, *, last: int = 0, held: int | None = None, begins: bool = False
    ) -> Decided:
        """Decide at the close of each bar that has enough history; see `decide`.

        The table that `decide` makes of the arrays takes a further half of a millisecond.

        Parameters
        ----------
        bars : Bars
            At least `required_bars`, as `needed_bars` returns them.
        last, held : int
            As in `decide`; `Decided.certain` says which positions do not depend on earlier bars.
        begins : bool, default False
            Whether the series begins with these bars, so that no mean of the rule looks further
            back.
        """
        times = bars.time_ns if self.reads_stamps else None
        matrix = self.features.compute(bars, time_ns=times)  # (bars, f)
        usable = self.features.warmed_up(bars, max_gap_bars=self.contract.max_gap_bars)
        usable &= np.isfinite(matrix).all(axis=1)
        rows = np.flatnonzero(usable)
        score = np.full(len(bars), np.nan)
        if len(rows):
            place = _positions(bars, self.contract.max_gap_bars)
            score[rows] = self.adapter.predict(matrix[rows], place[rows])
        decided = slice(self.required_bars - 1, None)
        probability = self.calibrator.transform(score[decided])
        window = self.threshold.volatility_window
        volatility = move_size(bars.close, window)[decided] if window else None
        first = len(probability) - last if last and held is not None else 0
        if not begins and first < self.threshold.first_known(probability):
            # What its mean was at the first decided bar is not known, so `held` tells nothing.
            first, held = 0, None
        position, certain = self.threshold.decide(probability, volatility, held=held, first=first)
        return Decided(bars.time_ns[decided], score[decided], probability, position, certain)

    def needed_bars(
        self,
        frame: pd.DataFrame,
        last: int = 0,
        *,
        now: pd.Timestamp | None = None,
        earlier: int = 0,
    ) -> Bars:
        """Return the validated bars from which the last bars, or all (0), are decided.

        Parameters and errors are those of `decide`; `earlier` is a number of bars that are added at
        the beginning, as far as the frame has them.
        """
        if last < 0:
            raise TrainerError(f"`last` must be >= 0 bars, got {last}; use 0 for all")
        contract = self.contract
        needed = self.required_bars + max(last, 1) - 1
        wanted = needed + earlier
        given = wanted + (now is not None)
        bars = validate_bars(
            frame.iloc[-given:] if last and given < len(frame) else frame,
            symbol=contract.symbol,
            interval=Interval.parse(contract.interval),
            calendar=self.calendar,
            allow_jumps=contract.allow_jumps,
            now=now,
        )
        if len(bars) < needed:
            raise TrainerError(
                f"{contract.model}-{contract.symbol} needs at least {needed} bars to decide "
                f"{max(last, 1)}, got {len(bars)}; give more history"
            )
        return bars.slice(len(bars) - wanted, len(bars)) if last and wanted < len(bars) else bars

    def save(
        self,
        folder: Path,
        *,
        bars: Bars,
        metrics: dict[str, Any],
        config: dict[str, Any],
        evidence: dict[str, Any] | None = None,
    ) -> None:
        """Write the model, with golden rows from the end of `bars` that every load decides again.

        Parameters
        ----------
        folder : pathlib.Path
            New or empty folder.
        bars : Bars
            The bars that it was trained on; the last ones become the golden rows.
        metrics, config, evidence : dict
            JSON values for people and for later comparisons: metrics.json, the settings in
            config_snapshot.json, evidence.json.

        Raises
        ------
        TrainerError
            If there are no `GOLDEN_ROWS` bars in a row with finite scores: a load could not be
            verified.
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
        used, decided, held = self._golden(bars)
        manifest = {
            "format": FORMAT_VERSION,
            "files": {name: sha256(folder / name) for name in FILES},
            "golden": {
                "bars": {"time_ns": used.time_ns.tolist()}
                | {name: getattr(used, name).tolist() for name in COLUMNS[1:]},
                "decisions": [decision_to_json(row) for row in decided.to_dict("records")],
                **({} if held is None else {"held": held}),
            },
            "written_with": {
                "python": platform.python_version(),
                "machine": platform.machine(),
                "numpy": version("numpy"),
                "TA-Lib": version("TA-Lib"),
            },
        }
        write_json(folder / MANIFEST, manifest)

    def _golden(self, bars: Bars) -> tuple[Bars, pd.DataFrame, int | None]:
        """Return the latest bars whose decisions have finite scores, and those decisions.

        The last value is the position before them, if the bars do not tell it.
        """
        needed = self.required_bars + GOLDEN_ROWS - 1
        for stop in range(len(bars), needed - 1, -GOLDEN_ROWS):
            used, decided, held = self.decide_end(bars.slice(0, stop).to_frame(), GOLDEN_ROWS)
            if np.isfinite(decided.score).all():
                return used, decided.to_frame(), held
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
            libraries decide the golden rows differently: the text names the differences.
        InputError
            If the features differ from those of this installation: the text lists each difference.
        """
        try:
            return cls._load(folder)
        except AdapterError as error:
            raise TrainerError(str(error)) from error
        except BarwrightError:  # before its base class, ValueError
            raise
        except DAMAGED as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise TrainerError(f"the model's files are damaged ({reason}); train again") from error

    @classmethod
    def _load(cls, folder: Path) -> Self:
        manifest = read_json(folder / MANIFEST)
        check_digests(folder, manifest)
        contract = Contract(**read_json(folder / "config_snapshot.json")["contract"])
        calibration = read_json(folder / "calibrator.json")
        threshold = rule_from_json(calibration.pop("threshold"))
        calibrator = calibrator_from_json(calibration)
        signature = FeatureSignature.from_json(read_json(folder / "features.json"))
        adapter = adapters.find_stored(contract.model).load(folder / "model.bin")
        model = cls(
            contract,
            rebuild(signature),
            adapter,
            calibrator,
            threshold,
            former_calendar=_former_calendar(contract, manifest),
            reads_stamps=manifest["format"] < DATED_BARS,
        )
        model._replay(manifest)
        return model

    def _replay(self, manifest: dict[str, Any]) -> None:
        """Decide the golden rows again, and compare the decisions with the stored ones."""
        frame = golden_frame(manifest)
        stored_rows = manifest["golden"]["decisions"]
        if not stored_rows:
            raise TrainerError("the model has no golden rows to be proven by; train again")
        held = golden_held(manifest)
        decided = self.decide(frame, last=len(stored_rows), held=held).to_dict("records")
        for stored, computed in zip(stored_rows, map(decision_to_json, decided), strict=True):
            differences = [
                f"{name} {stored[name]!r} became {computed[name]!r}"
                for name in OUTPUT
                if not agrees(stored[name], computed[name])
            ]
            if differences:
                raise TrainerError(
                    f"the model decides differently here at {stored['timestamp']}: "
                    f"{', '.join(differences)} (written with {manifest.get('written_with')}); "
                    "use the libraries it was written with, or train again"
                )


def _former_calendar(contract: Contract, manifest: dict[str, Any]) -> CalendarSpec | None:
    """Return the calendar of the golden bars, if the contract names the one that was replaced."""
    if contract.calendar != RETIRED:
        return None
    times = golden_frame(manifest)["timestamp"].dt.tz_convert(None).to_numpy()
    time_ns = times.astype("datetime64[ns]").view(np.int64)
    return choose_calendar(RETIRED, time_ns, Interval.parse(contract.interval)).spec


def _positions(bars: Bars, max_gap_bars: int) -> IntArray:
    """Return the position of each bar on an axis that jumps at every wide gap, shape (n,).

    A sequence model reads consecutive positions only, so no window spans a wide gap. Training rows
    follow the same rule: a row whose label spans a wide gap is dropped, which leaves a hole in the
    positions right before the gap. Here no bar is dropped for its label.
    """
    row = np.arange(len(bars))
    segment = np.cumsum(bars.segment_start(max_gap_bars) == row) - 1  # 0 for the first segment
    position: IntArray = row + segment
    return position
