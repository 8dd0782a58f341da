"""The versions of a registered model that other versions or aliases need, each with the reason."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from mlflow.entities.model_registry import ModelVersion

from trainer.registry.alias import records_of
from trainer.tracking.model_uri import LATEST
from trainer.tracking.tag_names import ROLLBACK_OF


def needed_versions(
    versions: Sequence[ModelVersion], holders: Mapping[str, str], kept: Collection[str]
) -> dict[str, str]:
    """Return the numbers of the versions that must stay, with the reason of each.

    These are the versions that an alias points to; the newest one, which is ``@latest``; those
    with the record of a move in their tags, which is stored nowhere else; those that an alias
    left for a version that stays, which is the evidence of that move and the way back; and those
    that a version that stays is a rollback of.

    Parameters
    ----------
    versions : sequence of ModelVersion
        All versions of one registered model, oldest first; at least one.
    holders : mapping of str to str
        Version of each alias.
    kept : collection of str
        Versions that stay for another reason.
    """
    by_number = {str(version.version): version for version in versions}
    reasons = {number: f"@{alias}" for alias, number in holders.items()}
    reasons.setdefault(str(versions[-1].version), f"@{LATEST}")
    for number, version in by_number.items():
        if any(record.may_have_moved for record in records_of(version)):
            reasons.setdefault(number, "its tags are the record of a move")
    waiting = [*reasons, *kept]
    while waiting:
        number = waiting.pop()
        for other, reason in _named_by(by_number[number]) if number in by_number else ():
            if other in by_number and other not in reasons:
                reasons[other] = reason
                waiting.append(other)
    return reasons


def _named_by(version: ModelVersion) -> Iterator[tuple[str, str]]:
    """Yield the versions that a version names in its tags, each with a reason to keep it."""
    if rolled_back := version.tags.get(ROLLBACK_OF):
        yield rolled_back, f"version {version.version} is a rollback of it"
    for record in records_of(version):
        # A rollback leaves the version that it is meant to replace.
        if record.before and record.alias != LATEST and record.may_have_moved:
            yield record.before, f"@{record.alias} moved from it to version {version.version}"
