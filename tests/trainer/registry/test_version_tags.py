"""The tags of a version: their names and values, and which of them a rollback keeps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tests.trainer.made import trained_model
from trainer.evidence.verdict import Verdict
from trainer.registry.promotion import rollback
from trainer.registry.verify import Verifier
from trainer.registry.version_tags import VERSION_TAGS, rollback_tags, version_tags
from trainer.serving.manifest import sha256

#: Tags that describe the model. The new version of a rollback has the same model.
KEPT = {
    "run_id": "r1",
    "manifest_sha256": "digest of manifest.json",
    "data_digest": "d",
    "data_end": "2026-01-01T00:00:00+00:00",
    "settings_digest": "s",
    "feature_signature": "f",
    "status": "unproven",
    "status_reason": "it loses",
    "wf_net_sharpe": "1.2346",
    "wf_gross_sharpe": "-2.0000",
}
#: Tags of the version itself, which its successor does not have.
NOT_KEPT = {"rollback_of": "7", "move.champion.20260101T000000.000000": "{}", "by hand": "x"}


def tags_of(folder: Path, **metrics: float) -> dict[str, str]:
    (folder / "manifest.json").write_text("{}")
    trained = trained_model(
        {"net_sharpe": 1.23456, "gross_sharpe": -2.0, **metrics},
        {"digest": "d", "last": "2026-01-01T00:00:00+00:00"},
        folder=folder,
        params={"feature_signature": "f"},
        settings_digest="s",
    )
    return version_tags("r1", trained, Verdict("unproven", "it loses", []))


def test_a_version_is_registered_with_every_tag_that_describes_its_model(tmp_path: Path) -> None:
    tags = tags_of(tmp_path)
    assert tags == {**KEPT, "manifest_sha256": sha256(tmp_path / "manifest.json")}


def test_an_undefined_metric_has_no_tag(tmp_path: Path) -> None:
    tags = tags_of(tmp_path, net_sharpe=math.nan)
    assert KEPT.keys() - tags.keys() == {"wf_net_sharpe"}


def test_a_rollback_keeps_every_tag_that_describes_the_model_and_no_other() -> None:
    assert rollback_tags({**KEPT, **NOT_KEPT}, "3") == {**KEPT, "rollback_of": "3"}
    assert rollback_tags({"status": "flat"}, "3") == {"status": "flat", "rollback_of": "3"}


def test_the_table_lists_every_tag_once_with_a_sentence() -> None:
    names = [tag.name for tag in VERSION_TAGS]
    assert sorted(names) == sorted([*KEPT, "rollback_of"])
    assert {tag.name for tag in VERSION_TAGS if tag.kept} == set(KEPT)
    for tag in VERSION_TAGS:
        assert tag.meaning[0].isupper(), tag.name
        assert tag.meaning.endswith("."), tag.name
        assert tag.kept == (tag.make is not None), "a tag of the model is made with the model"


class AcceptingVerifier(Verifier):
    """A verifier that accepts every candidate: these versions have no files."""

    def verify(self, model_uri: str) -> None:
        pass


def test_a_registered_rollback_has_the_tags_of_the_older_version(registry_store: Any) -> None:
    client, source = registry_store.client, str(registry_store.folder)
    client.create_registered_model("m-X")
    for tags in ({**KEPT, **NOT_KEPT}, {"status": "proven"}):
        client.create_model_version("m-X", source, tags=tags)
    with AcceptingVerifier({}) as verifier:
        version = rollback(client, "m-X", "1", verifier)
    tags = client.get_model_version("m-X", version).tags
    (move,) = (tag for tag in tags if tag.startswith("move."))
    assert move.startswith("move.latest.")
    del tags[move]
    assert tags == {**KEPT, "rollback_of": "1"}
