import pytest

from trainer.errors import TrainerError
from trainer.serving.holding_rules import BreakEven, Exit
from trainer.serving.rules import RuleSettings, position_of, rule_from_json
from trainer.serving.threshold import Threshold


def test_settings_give_the_rule():
    assert RuleSettings().rule(0.6) == Threshold(0.6)
    assert RuleSettings("exit", allow_short=False, smooth=3).rule(None) == Exit(None, False, 3)
    settings = RuleSettings("break-even", cost=0.0015, horizon=12, window=48)
    assert settings.rule(0.5) == BreakEven(0.5, True, 0, 0.0015, 12, 48)
    assert (settings.volatility_window, RuleSettings("exit").volatility_window) == (48, 0)


def test_a_stored_threshold_has_the_form_of_every_earlier_version():
    assert Threshold(0.6).to_json() == {"value": 0.6, "allow_short": True}
    assert rule_from_json({"value": 0.6, "allow_short": False}) == Threshold(0.6, False)
    assert rule_from_json(Threshold(0.6, smooth=3).to_json()) == Threshold(0.6, smooth=3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"rule": "other", "value": 0.6, "allow_short": True}, "must be one of threshold, exit"),
        ({"rule": "exit", "value": 0.6}, "must be one of threshold, exit, break-even with its"),
        ({"rule": "exit", "value": "0.6", "allow_short": True}, "`value` of a position rule has"),
        ({"rule": "exit", "value": 0.6, "allow_short": 1}, "`allow_short` of a position rule has"),
        ({"rule": "exit", "value": 0.6, "allow_short": True, "cost": 1.0}, "has other fields"),
        ({"rule": "exit", "value": 0.4, "allow_short": True}, r"must be in \[0.5, 1\], got 0.4"),
    ],
)
def test_a_damaged_rule_is_refused(data, message):
    with pytest.raises(TrainerError, match=message):
        rule_from_json(data)


def test_names_of_positions():
    assert [position_of(name) for name in ("long", "flat", "short", "")] == [1, 0, -1, None]
    with pytest.raises(TrainerError, match="`held` must be long, flat or short, got '1'"):
        position_of("1")
