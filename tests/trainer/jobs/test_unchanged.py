"""What a version follows from: each part changes the digest, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.registry_store import synthetic_bars
from trainer.config import Effect, TrainConfig
from trainer.job import Job
from trainer.jobs import unchanged as module
from trainer.jobs.unchanged import Unchanged, settings_digest

#: A value of each option that is not its default.
OTHER: dict[str, Any] = {
    "interval": "4h", "task": "forward_return", "horizon": 13, "n_splits": 6, "embargo": 99,
    "wf_splits": 6, "fee_bps": 9, "slippage_bps": 4, "calibration": "isotonic", "null_runs": 1,
    "allow_short": "off", "position": "exit", "smooth": "h", "volatility_window": 71,
    "selection": "deflated", "calendar": "24/7", "max_gap_bars": 23, "allow_jumps": "on",
    "device": "cpu", "seed": 43, "params": "lightgbm.num_leaves=7",
}  # fmt: skip
GIVEN = {"symbols": "X", "source": "sample", "models": "lightgbm,gru"}
JOB = Job("X", "lightgbm")


def digest(job: Job = JOB, **options: Any) -> str:
    return settings_digest(job, TrainConfig.parse({**GIVEN, **options}))


def test_every_setting_changes_the_digest() -> None:
    settings = [n for n in TrainConfig.model_fields if TrainConfig.effect_of(n) is Effect.SETTING]
    assert sorted(settings) == sorted(OTHER)
    digests = {name: digest(**{name: value}) for name, value in OTHER.items()}
    assert len({digest(), *digests.values()}) == len(OTHER) + 1


def test_what_changes_no_model_and_no_verdict_does_not_change_it() -> None:
    for options in (
        {"max_workers": 2}, {"fit_cache": "off"}, {"cache_folder": "x"}, {"experiment": "e"},
        {"models": "lightgbm"}, {"symbols": "X,Y"}, {"source": "synthetic"},
        {"params": "gru.hidden=8"}, {"unchanged": "train"},
    ):  # fmt: skip
        assert digest(**options) == digest(), options
    assert digest(against="hold") != digest()
    assert digest(search="0123456789abcdef") != digest()


def test_symbol_model_features_code_and_libraries_change_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len({digest(), digest(Job("Y", "lightgbm")), digest(Job("X", "gru"))}) == 3
    file = tmp_path / "features.yaml"
    file.write_text("groups: [returns]\n")
    first = digest(features=str(file))
    file.write_text("groups: [returns, volatility]\n")
    assert len({digest(), first, digest(features=str(file))}) == 3
    before = digest()
    with monkeypatch.context() as patched:
        patched.setattr(module, "code_digest", lambda packages: "+".join(sorted(packages)))
        assert digest() != before
    with monkeypatch.context() as patched:
        patched.setattr(module, "libraries_digest", lambda: "newer")
        assert digest() != before


class Asked:
    """A registry that asks for the bars of every job."""

    def __init__(self) -> None:
        self.digests: list[str | None] = []

    def unchanged(self, name: str, settings_digest: str, bars_digest: Any) -> None:
        self.digests.append(bars_digest())


def test_bars_are_read_once_a_symbol_and_changed_bars_have_another_digest(tmp_path: Path) -> None:
    bars = synthetic_bars(200)
    bars.to_parquet(tmp_path / "X_1h.parquet")
    config = TrainConfig.parse({**GIVEN, "source": str(tmp_path)})
    asked = Asked()
    unchanged = Unchanged(asked)  # type: ignore[arg-type]
    unchanged.find(JOB, config)
    bars.loc[100, "volume"] += 1
    bars.to_parquet(tmp_path / "X_1h.parquet")
    unchanged.find(Job("X", "gru"), config)
    Unchanged(asked).find(JOB, config)  # type: ignore[arg-type]
    unchanged.find(Job("NONE", "gru"), config)
    first, second, third, none = asked.digests
    assert first == second
    assert first != third
    assert none is None, "training says what is wrong with the bars"


def test_bars_that_only_one_of_two_settings_accepts(tmp_path: Path) -> None:
    bars = synthetic_bars(400)
    bars.loc[300:, ["open", "high", "low", "close"]] /= 4
    bars.to_parquet(tmp_path / "X_1h.parquet")
    strict, lenient = (
        TrainConfig.parse({**GIVEN, "source": str(tmp_path), "allow_jumps": jumps})
        for jumps in ("off", "on")
    )
    asked = Asked()
    unchanged = Unchanged(asked)  # type: ignore[arg-type]
    for config in (strict, lenient, strict):
        unchanged.find(JOB, config)
    assert [digest is None for digest in asked.digests] == [True, False, True]
