import pathlib

import pytest

from sb3_reinforce.zoo.arguments import check, in_the_zoos_words

PLAYED = ["--algo", "reinforce", "--env", "CartPole-v1"]


@pytest.mark.parametrize(
    ("command", "given", "translated"),
    [
        ("train", ["--timesteps", "1e5", "--log-folder", "x"], ["--n-timesteps", "100000", "--log-folder", "x"]),
        ("train", ["--timesteps=2.5e3", "--n-eval-episodes", "3"], ["--n-timesteps=2500", "--eval-episodes", "3"]),
        (
            "train",
            ["-n", "1e5", "-params", "learning_rate:1e-3", "gamma:0.9"],
            ["-n", "100000", "-params", "learning_rate:1e-3", "gamma:0.9"],
        ),
        ("enjoy", ["-n", "1_000", "--log-folder=x", "--no-render"], ["-n", "1_000", "--folder=x", "--no-render"]),
        ("enjoy", PLAYED, [*PLAYED, "--folder", "logs"]),
        ("enjoy", ["--alg=reinforce", "-f", "x"], ["--alg=reinforce", "-f", "x"]),
        ("enjoy", ["--algo", "ppo"], ["--algo", "ppo"]),
        ("all_plots", ["--log-folder", "x", "y"], ["--exp-folders", "x", "y"]),
        ("plot_from_file", ["--timesteps"], ["--timesteps"]),
    ],
)
def test_one_thing_has_one_name(command: str, given: list[str], translated: list[str]) -> None:
    assert in_the_zoos_words(command, given) == translated


@pytest.fixture
def runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs" / "reinforce" / "CartPole-v1_2").mkdir(parents=True)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("command", "arguments", "says"),
    [
        ("enjoy", ["--algo", "reinforce", "--env", "Acrobot-v1", "-f", "logs"], "no run of reinforce on Acrobot-v1 in 'logs'"),
        ("enjoy", ["--algo", "ppo", "--env", "CartPole-v1", "-f", "logs"], "sb3-reinforce zoo train --algo ppo"),
        ("record_video", [*PLAYED, "-f", "nowhere"], "Train one: sb3-reinforce train --algo reinforce"),
        ("push_to_hub", [*PLAYED, "-f", "logs", "--exp-id", "7"], "no run 7 of reinforce .*: the last one is 2"),
        ("plot_train", ["-a", "reinforce", "-e", "CartPole-v1", "-f", "nowhere"], "no run of reinforce on CartPole-v1"),
        ("all_plots", ["-a", "REINFORCE", "ppo", "-e", "Acrobot-v1", "-f", "logs", "x"], "no run of .* in 'logs, x'"),
        ("train", ["-n", "-5"], "-n must be a positive number, but got '-5'"),
        ("train", ["--n-timesteps=0"], "--n-timesteps must be a positive number"),
        ("enjoy", [*PLAYED, "--seed", "-2"], "--seed must be a positive number"),
    ],
)
def test_what_is_wrong_is_said_before_the_zoo_sees_it(command: str, arguments: list[str], says: str) -> None:
    with pytest.raises(Exception, match=says):
        check(command, arguments)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("enjoy", [*PLAYED, "-f", "logs", "--exp-id", "2"]),
        ("enjoy", [*PLAYED, "-f", "elsewhere", "--exp-id", "-1"]),
        ("enjoy", ["--algo", "ppo", "--env", "CartPole-v1", "-f", "rl-trained-agents"]),
        ("train", [*PLAYED, "-n", "-1", "--seed", "-1", "--log-interval", "-2", "--env-kwargs", "x:-3"]),
        ("all_plots", ["-a", "reinforce", "-e", "CartPole", "-f", "logs"]),
        ("all_plots", ["-a"]),
    ],
)
def test_what_is_left_to_the_zoo(command: str, arguments: list[str]) -> None:
    check(command, arguments)
