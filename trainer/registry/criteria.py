"""Criteria of a promotion that need the loaded model or the alias's present version."""

from trainer.evidence.verdict import Criterion
from trainer.registry.paired import Compared
from trainer.serving.contract import Contract

#: Share of paired resamples in which a challenger does at least as well as the holder.
LEAST_AT_LEAST = 0.5
#: Bars that both must have decided out of sample.
LEAST_BARS = 250


def versus(alias: str, before: str | None, compared: Compared | None) -> Criterion:
    """Ask that a version is not worse than the alias's present one, on the same bars.

    It passes if it does at least as well in half of the paired resamples: what is asked is not
    proof that it is better, which takes years of bars, but that it is not the lesser choice.

    Parameters
    ----------
    alias : str
    before : str or None
        The present version; None passes, there is nothing to be worse than.
    compared : Compared or None
        Challenger against present version.
    """
    name = f"not worse than the present @{alias}"
    if before is None or compared is None:
        return Criterion(name, "there is none", "-", True, "")
    found = compared.difference
    rule = f"as good in >= {LEAST_AT_LEAST:.0%} of resamples, on >= {LEAST_BARS} same bars"
    figure = (
        f"as good in {found.at_least:.0%}; Sharpe {found.observed:+.2f} "
        f"({found.lower:+.2f} to {found.upper:+.2f}) on {compared.bars:,} bars, "
        f"{compared.rescored:,} of them after training"
    )
    if not compared.same_prices:
        why = f"it saw other prices than version {before} on the same bars"
        return Criterion(name, f"{figure}; other prices", rule, False, why)
    enough = compared.bars >= LEAST_BARS
    why = (
        f"it is worse than version {before}, the present @{alias}"
        if enough
        else f"it has only {compared.bars:,} bars in common with version {before}"
    )
    return Criterion(name, figure, rule, enough and found.at_least >= LEAST_AT_LEAST, why)


def trades(flat_because: str) -> Criterion:
    """Ask that the model itself trades: a walk-forward may have, and the model of today not."""
    return Criterion(
        "the model trades",
        f"flat: {flat_because}" if flat_because else "it does",
        "it does",
        not flat_because,
        f"it is flat: {flat_because}",
    )


def unknown(alias: str, before: str, why: str) -> Criterion:
    """Fail what cannot be compared: the alias's present version does not load."""
    return Criterion(
        f"not worse than the present @{alias}",
        f"version {before} cannot be judged",
        "same bars",
        False,
        f"version {before}, the present @{alias}, cannot be judged: {why}",
    )


def same_contract(wanted: Contract, present: Contract) -> Criterion:
    """Ask that two models trade by the same rules, so that their figures may be compared."""
    differ = [
        f"{name} {getattr(wanted, name)} against {getattr(present, name)}"
        for name in ("interval", "task", "horizon", "fee_bps", "slippage_bps")
        if getattr(wanted, name) != getattr(present, name)
    ]
    return Criterion(
        "same contract, features known here",
        "; ".join(differ) or "same",
        "same",
        not differ,
        f"its contract differs: {'; '.join(differ)}",
    )
