"""Whether the gate tells luck from skill: random walks must not earn @champion, a signal must."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from benchmarks.measure import Options, Report, Target
from trainer.evidence.record import RECORD_FILE, Record
from trainer.evidence.verdict import LEAST_DSR
from trainer.statistics.costs import Costs
from trainer.statistics.performance import net_returns, sharpe

_ROOT = Path(__file__).resolve().parent.parent
_BARS = 3_000
_YEAR = 8_760.0
#: Correlation of one bar's log return with the next one's, by symbol; random walks have none. The
#: strong one still earns at twice 15 basis points a side, which the gate asks for (0.3 would not);
#: the weak one would pay for 1 basis point only.
_STRONG, _WEAK = "PLANTED", "WEAK"
_SIGNALS = {_STRONG: 0.4, _WEAK: 0.08}
#: Fee and slippage of each arm, basis points a side. Where trading is cheap, luck trades more.
_ARMS = {"15 bps": (10.0, 5.0), "1 bp": (0.5, 0.5)}
#: The deep models are made small, and see the first few symbols only: the time is for many fits.
_DEEP = 4
_SMALL = (
    "gru.hidden=8,gru.lookback=8,gru.max_epochs=3,gru.chunk=64,"
    "ppo.timesteps=16384,ppo.n_envs=64,ppo.hidden=16"
)
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Judged:
    """A registered version, and what `barwright promote` made of it."""

    arm: str
    model: str
    symbol: str
    version: str
    status: str
    #: Of its walk-forward, without prefix; what was undefined is missing.
    metrics: dict[str, float]
    record: Record
    earned: bool
    criteria: list[dict[str, Any]]

    @property
    def planted(self) -> bool:
        return self.symbol in _SIGNALS

    @property
    def net_sharpe(self) -> float:
        return self.metrics.get("net_sharpe", float("nan"))

    def plain(self) -> dict[str, Any]:
        names = ("arm", "model", "symbol", "version", "status", "metrics", "earned", "criteria")
        return {name: getattr(self, name) for name in names}


def run(options: Options) -> Report:
    began = time.perf_counter()
    walks = [f"NOISE{i:02d}" for i in range(1, options.pick(options.walks, 1) + 1)]
    arms = dict(list(_ARMS.items())[-1:]) if options.quick else _ARMS
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        frames = _write_bars(folder / "bars", walks)
        judged = [
            one
            for arm, costs in arms.items()
            for one in _Arm(folder, arm, costs, options.quick).judged(walks)
        ]
    report = Report(
        "noise",
        f"SYNTHETIC bars, {_BARS:,} hours a symbol: {len(walks)} random walks with clustered "
        f"volatility, and two symbols whose next log return is correlated with the last one: "
        + ", ".join(f"{name} {phi:g}" for name, phi in _SIGNALS.items())
        + ". Each is trained and then promoted, version by version, by the real commands.",
        data={"versions": [one.plain() for one in judged]},
    )
    _tell_noise(report, [one for one in judged if not one.planted], arms)
    _tell_signals(report, [one for one in judged if one.planted], frames)
    report.notes.append(f"It took {time.perf_counter() - began:.0f} s.")
    return report


class _Arm:
    """One store: models trained at one level of costs."""

    def __init__(self, folder: Path, arm: str, costs: tuple[float, float], quick: bool) -> None:
        self.arm, self.costs, self.quick = arm, costs, quick
        self.folder = folder / arm.replace(" ", "")
        self.folder.mkdir()
        self.uri = f"sqlite:///{self.folder / 'mlflow.db'}"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "MLFLOW_TRACKING_URI": self.uri,
        }
        self.environment.pop("MLFLOW_RUN_ID", None)
        # Features are the same at any costs, and so are the fits of all models but PPO.
        self.shared = [
            *("--cache-folder", str(folder / "features")),
            *("--fit-cache-folder", str(folder / "fits")),
        ]

    def judged(self, walks: Sequence[str]) -> list[_Judged]:
        """Train everything, then ask for a promotion of every version there is."""
        deep = "gru,lightgbm,ppo"
        if self.quick:
            self.train([_STRONG, *walks], "lightgbm", "--n-splits", "3", "--wf-splits", "3")
        else:
            self.train([_STRONG, *walks[:_DEEP]], deep, "--params", _SMALL)
            self.train([_WEAK, *walks[_DEEP:]], "lightgbm")
        client = MlflowClient(self.uri, self.uri)
        models = client.search_registered_models(max_results=1_000)
        versions = [v for m in models for v in client.search_model_versions(f"name = '{m.name}'")]
        with ThreadPoolExecutor(2) as pool:
            promoted = list(pool.map(lambda v: self.promote(v.name, str(v.version)), versions))
        aliases = {m.name: client.get_registered_model(m.name).aliases for m in models}
        found = []
        for version, said in zip(versions, promoted, strict=True):
            model, _, symbol = version.name.partition("-")
            holds = str(aliases[version.name].get("champion", "")) == str(version.version)
            if holds != said["moved"]:
                raise RuntimeError(f"{version.name} {version.version} said {said}")
            run_id = version.tags["run_id"]
            logged = client.get_run(run_id).data.metrics
            path = download_artifacts(
                run_id=run_id, artifact_path=RECORD_FILE, tracking_uri=self.uri
            )
            found.append(
                _Judged(
                    self.arm, model, symbol, str(version.version), version.tags["status"],
                    {k.removeprefix("wf_"): v for k, v in logged.items() if k.startswith("wf_")},
                    Record.read(Path(path)), holds, said["criteria"],
                )
            )  # fmt: skip
        return found

    def train(self, symbols: Sequence[str], models: str, *more: str) -> None:
        fee, slippage = self.costs
        self._command(
            "train", "--symbols", ",".join(symbols), "--models", models,
            "--source", str(self.folder.parent / "bars"), "--horizon", "3", "--max-workers", "2",
            "--fee-bps", str(fee), "--slippage-bps", str(slippage), *self.shared, *more,
        )  # fmt: skip

    def promote(self, name: str, version: str) -> dict[str, Any]:
        """Return the decision; a version without evidence would be an error, not a refusal."""
        done = self._command("promote", name, "--version", version, "--json", refusal_is_fine=True)
        said: dict[str, Any] = json.loads(done.stdout)
        if said["moved"] == bool(done.returncode):
            raise RuntimeError(f"exit status {done.returncode}, but it said {said}")
        return said

    def _command(
        self, *arguments: str, refusal_is_fine: bool = False
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "trainer", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode and not (refusal_is_fine and done.stdout):
            raise RuntimeError(f"{arguments} failed:\n{done.stdout}{done.stderr}")
        return done


def _tell_noise(report: Report, judged: list[_Judged], arms: Iterable[str]) -> None:
    rows, spread = [], []
    for arm in arms:
        for model in ("lightgbm", "gru", "ppo"):
            some = [one for one in judged if (one.arm, one.model) == (arm, model)]
            if not some:
                continue
            rows.append(
                [
                    f"{arm}, {model}",
                    str(len(some)),
                    str(sum(one.metrics["n_trades"] > 0 for one in some)),
                    str(sum(one.net_sharpe > 0 for one in some)),
                    *(
                        str(sum(one.status == status for one in some))
                        for status in ("flat", "unproven", "proven")
                    ),
                    str(sum(one.earned for one in some)),
                ]
            )
            for name, line in (("psr", 0.95), ("dsr", LEAST_DSR)):
                values = [one.metrics[name] for one in some if name in one.metrics]
                if values:
                    quartiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
                    above = sum(value >= line for value in values)
                    spread.append(
                        [f"{arm}, {model}: {name.upper()}", str(len(values))]
                        + [f"{value:.3f}" for value in quartiles]
                        + [str(above)]
                    )
    report.add_table(
        "random walks: versions",
        ["", "all", "traded", "net Sharpe > 0", "flat", "unproven", "proven", "@champion"],
        rows,
    )
    report.add_table(
        "random walks that traded: probability that the true net Sharpe ratio is above 0 (PSR), "
        "and above the luckiest trial's (DSR)",
        ["", "n", "min", "25 %", "median", "75 %", "max", ">= 0.95"],
        spread,
    )
    lucky = [one for one in judged if one.earned]
    report.failures += [
        f"{one.model}-{one.symbol} at {one.arm}, a random walk, earned @champion" for one in lucky
    ]
    proven = sum(one.status == "proven" for one in judged)
    report.targets += [
        Target(f"of {len(judged)} versions of noise, earned @champion", len(lucky), 0, False),
        Target(f"of {len(judged)} versions of noise, called proven", proven, 0, False),
    ]


def _tell_signals(report: Report, judged: list[_Judged], frames: dict[str, pd.DataFrame]) -> None:
    rows = []
    for one in judged:
        gross, net = _known(one, frames[one.symbol])
        exceeded = one.net_sharpe > gross
        rows.append(
            [
                f"{one.symbol}, {one.arm}, {one.model}",
                f"{one.net_sharpe:.1f}",
                f"{net:.1f}",
                f"{gross:.1f}",
                f"{one.metrics['n_trades']:.0f}",
                one.status,
                "yes" if one.earned else "no",
            ]
        )
        if exceeded:
            report.failures.append(
                f"{one.model}-{one.symbol} at {one.arm} earned more than knowing the signal would"
            )
    report.add_table(
        "planted signals: net Sharpe ratio of the walk-forward, and of who knows the signal",
        ["", "found", "known, net", "known, gross", "trades", "status", "@champion"],
        rows,
    )
    report.notes.append(
        "`known`: a bar is traded on if the next return's true mean is large enough; how large is "
        "chosen in hindsight, on the same bars. Nobody who sees prices only can do better, but by "
        "luck: `found` may not be above `known, gross`."
    )
    for arm in {one.arm: None for one in judged}:
        strong = [one for one in judged if (one.arm, one.symbol) == (arm, _STRONG)]
        earned = [one.model for one in strong if one.earned]
        target = Target(f"models that earned @champion on {_STRONG} at {arm}", len(earned), 1, True)
        report.targets.append(target)
        if not target.met:
            failed = {
                f"{one.model}: {c['why']}"
                for one in strong
                for c in one.criteria
                if not c["passed"]
            }
            report.failures.append(
                f"{_STRONG} at {arm} earned nothing: {'; '.join(sorted(failed))}"
            )
    best = max((one for one in judged if one.earned), key=lambda one: one.net_sharpe, default=None)
    if best is not None:
        report.add_table(
            f"{best.model}-{best.symbol} at {best.arm}, which earned it: its criteria",
            ["criterion", "figure", "rule"],
            [[c["name"], c["figure"], c["rule"]] for c in best.criteria],
        )


def _known(one: _Judged, frame: pd.DataFrame) -> tuple[float, float]:
    """Net Sharpe ratios of who knows the signal, on the bars of a walk-forward: free, and paid."""
    close = frame["close"].to_numpy()
    mean = _SIGNALS[one.symbol] * np.diff(np.log(close), prepend=np.log(close[0]))
    times = pd.DatetimeIndex(frame["timestamp"]).as_unit("ns").asi8
    mean = mean[np.searchsorted(times, one.record.time_ns)]
    fee, slippage = _ARMS[one.arm]

    def best(fee_bps: float, slippage_bps: float) -> float:
        found = []
        for least in np.quantile(np.abs(mean), np.linspace(0, 0.95, 20)):
            position = np.where(np.abs(mean) >= least, np.sign(mean), 0.0)
            net = net_returns(position, one.record.forward_return, Costs(fee_bps, slippage_bps))
            found.append(sharpe(net, _YEAR))
        return max(found)

    return best(0, 0), best(fee, slippage)


def _write_bars(folder: Path, walks: Sequence[str]) -> dict[str, pd.DataFrame]:
    folder.mkdir()
    frames = {
        name: _frame(seed, _SIGNALS.get(name, 0.0))
        for seed, name in enumerate([*_SIGNALS, *walks], start=1)
    }
    for name, frame in frames.items():
        frame.to_parquet(folder / f"{name}_1h.parquet")
    return frames


def _frame(seed: int, phi: float) -> pd.DataFrame:
    """SYNTHETIC hourly bars: log returns of about 1 %, whose volatility comes in clusters.

    Each one is `phi` times the one before, plus what nobody can know.
    """
    rng = np.random.default_rng(seed)
    level = np.zeros(_BARS)
    for i in range(1, _BARS):
        level[i] = 0.97 * level[i - 1] + rng.normal(0.0, 0.1)
    deviation = 0.01 * np.sqrt(1 - phi**2) * np.exp(level - level.var())
    # Below what would be taken for a split.
    step = np.clip(deviation * rng.normal(size=_BARS), -0.15, 0.15)
    for i in range(1, _BARS):
        step[i] += phi * step[i - 1]
    close = 100.0 * np.exp(np.cumsum(step))
    open_ = np.concatenate([[100.0], close[:-1]])
    # How far a Brownian path between these two ends goes beyond them.
    far = np.sqrt(step**2 - 2 * deviation**2 * np.log(rng.uniform(size=(2, _BARS))))
    wick = (far - np.abs(step)) / 2
    volume = rng.lognormal(5.0, 0.5, _BARS) * (1 + np.abs(step) / 0.01)
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2024-01-01", periods=_BARS, freq="1h", tz="UTC"),
            "open": open_,
            "high": np.maximum(open_, close) * np.exp(wick[0]),
            "low": np.minimum(open_, close) * np.exp(-wick[1]),
            "close": close,
            "volume": volume,
        }
    )
