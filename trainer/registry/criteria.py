"""Criteria of a promotion that need the loaded model or the alias's present version."""

from trainer.evidence.verdict import Criterion
from trainer.registry.paired import PairedComparison
from trainer.serving.contract import Contract

#: Least share of paired resamples in which the version does at least as well as the present one.
LEAST_AT_LEAST = 0.5
#: Least number of bars that both versions decided out of sample.
LEAST_BARS = 250


def model_trades(flat_because: str) -> Criterion:
    """Require that the production model may trade; its walk-forward may have, and the model not.

    Parameters
    ----------
    flat_because : str
        Why it cannot trade; empty if it may.
    """
    return Criterion(
        "the production model may trade",
        f"flat: {flat_because}" if flat_because else "it may",
        "it may",
        not flat_because,
        f"it is flat: {flat_because}",
    )


def no_present_version(alias: str) -> Criterion:
    """Return the criterion of `not_worse` for an alias that points to no version: it passes."""
    return Criterion(_not_worse_name(alias), "none yet: nothing to compare", "-", True, "")


def not_worse(alias: str, present: str, compared: PairedComparison) -> Criterion:
    """Require that a version is not worse than the alias's present one, on the same bars.

    It passes if it does at least as well in half of the paired resamples. A proof that it is
    better is not required: that would take years of bars.

    Parameters
    ----------
    alias : str
    present : str
        The version that the alias points to.
    compared : PairedComparison
        The new version less the present one.
    """
    name = _not_worse_name(alias)
    difference = compared.difference
    rule = f"as good in >= {LEAST_AT_LEAST:.0%} of resamples, on >= {LEAST_BARS} same bars"
    value = (
        f"as good in {difference.at_least:.0%}; Sharpe {difference.observed:+.2f} "
        f"({difference.lower:+.2f} to {difference.upper:+.2f}) on {compared.bars:,} bars, "
        f"{compared.rescored:,} of them after training"
    )
    if not compared.same_prices:
        why = f"it saw other prices than version {present} on the same bars"
        return Criterion(name, f"{value}; other prices", rule, False, why)
    enough = compared.bars >= LEAST_BARS
    why = (
        f"it is worse than version {present}, the present @{alias}"
        if enough
        else f"it has only {compared.bars:,} bars in common with version {present}"
    )
    return Criterion(name, value, rule, enough and difference.at_least >= LEAST_AT_LEAST, why)


def not_comparable(alias: str, present: str, why: str) -> Criterion:
    """Return the failed criterion of `not_worse` for a present version that cannot be judged."""
    return Criterion(
        _not_worse_name(alias),
        f"version {present} cannot be judged",
        "same bars",
        False,
        f"version {present}, the present @{alias}, cannot be judged: {why}",
    )


def same_contract(wanted: Contract, present: Contract) -> Criterion:
    """Require that two models keep the same contract: only then may their results be compared."""
    differences = "; ".join(
        f"{name} {own} against {other}"
        for name, (own, other) in wanted.differences(present).items()
    )
    return Criterion(
        "same contract",
        differences or "same",
        "same",
        not differences,
        f"its contract differs: {differences}",
    )


def _not_worse_name(alias: str) -> str:
    return f"not worse than the present @{alias}"
