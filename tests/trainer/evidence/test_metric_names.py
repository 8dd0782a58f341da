"""Stored names: the prefix is added and removed without a loss, and other names are left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainer.evidence.metric_names import from_stored, stored_name, to_stored


@given(st.dictionaries(st.text(min_size=1), st.floats(allow_nan=False)))
def test_metrics_come_back_in_their_order(metrics: dict[str, float]) -> None:
    stored = to_stored(metrics)
    assert list(stored) == [stored_name(name) for name in metrics]
    assert list(from_stored(stored).items()) == list(metrics.items())


def test_only_metrics_of_the_walk_forward_are_read() -> None:
    stored = {"wf_wf_x": 1.0, "val_wf_x": 2.0, "seconds/fits": 3.0}
    assert from_stored(stored) == {"wf_x": 1.0}
