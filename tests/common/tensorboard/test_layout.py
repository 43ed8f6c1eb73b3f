import pathlib
import re

import pytest
from tensorboard.plugins.custom_scalar import layout_pb2, metadata

from sb3_reinforce import REINFORCE, EpisodeDurationCallback, EpsilonSchedule
from sb3_reinforce.common.tensorboard import ScalarLayoutCallback
from sb3_reinforce.common.tensorboard.layout import layout_for
from tests.common.tensorboard.events import MAKERS, events_of, make


@pytest.mark.parametrize("name", ["reinforce", "ppo"])
def test_charts_show_what_the_run_has_logged(name: str, tmp_path: pathlib.Path) -> None:
    model = make(name, tmp_path)
    model.learn(300, callback=[EpisodeDurationCallback(), ScalarLayoutCallback()], log_interval=1)
    model.logger.close()
    events = events_of(tmp_path)
    (event,) = events.Tensors(metadata.CONFIG_SUMMARY_TAG)
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for category in layout.category for chart in category.chart}
    assert list(charts) == ["Return", "Duration", "Loss"]
    shown = {
        title: {tag for tag in events.Tags()["scalars"] if any(re.match(pattern, tag) for pattern in patterns)}
        for title, patterns in charts.items()
    }
    assert shown["Return"] == {"rollout/episode_return", "rollout/ep_rew_mean"}
    assert shown["Duration"] == {"rollout/episode_length", "rollout/ep_len_mean"}
    assert {"train/policy_loss", "train/policy_gradient_loss"} & shown["Loss"]


@pytest.mark.parametrize("name", MAKERS)
def test_epsilon_has_a_chart_where_there_is_any(name: str) -> None:
    assert ("Epsilon" in layout_for(MAKERS[name]())["Training"]) == (name == "dqn")


def test_the_epsilon_of_reinforce() -> None:
    assert "Epsilon" in layout_for(REINFORCE("LinearPolicy", "CartPole-v1", epsilon=EpsilonSchedule()))["Training"]
