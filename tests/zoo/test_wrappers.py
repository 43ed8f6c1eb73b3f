from typing import Any

import gymnasium as gym
import pytest

from sb3_reinforce import SuccessRewardWrapper
from sb3_reinforce.zoo.wrappers import is_known, named_wrappers, read_wrappers


def test_wrappers_by_name_and_with_arguments() -> None:
    entry = ["gymnasium.wrappers.FlattenObservation", {"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 3}}]
    flatten, limit = read_wrappers(entry)
    env = limit(flatten(gym.make("CartPole-v1")))
    assert isinstance(env, gym.wrappers.TimeLimit)
    assert isinstance(env.env, gym.wrappers.FlattenObservation)
    assert [call.wrapper for call in read_wrappers("sb3_reinforce.SuccessRewardWrapper")] == [SuccessRewardWrapper]
    assert read_wrappers(None) == []


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("gymnasium.wrappers.Nothing", "There is no wrapper"),
        ("Nothing", "There is no wrapper"),
        ("no_such_module.Wrapper", "There is no wrapper"),
        ("os.getcwd", "is no wrapper. Name a subclass of Wrapper"),
        ("gymnasium.wrappers", "is no wrapper. Name a subclass of Wrapper"),
        (3, "module.Class or as"),
        ([{3: {}}], "module.Class or as"),
    ],
)
def test_what_is_no_wrapper(entry: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_wrappers(entry)


def test_of_which_packages_files_may_name_them() -> None:
    names = ["gymnasium.wrappers.A", "sb3_reinforce.A", "evil.A", "gymnasium.wrappers_evil.A", "sb3_reinforce"]
    assert [is_known(name) for name in names] == [True, True, False, False, False]
    assert list(named_wrappers({"a.B": None})) == [("a.B", {})]
