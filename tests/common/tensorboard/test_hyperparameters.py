import pathlib
from typing import Any

import pytest
from stable_baselines3 import A2C, DQN, PPO, SAC
from tensorboard.plugins.hparams import metadata

from sb3_reinforce import REINFORCE, EpsilonSchedule
from sb3_reinforce.common.tensorboard import HyperparametersCallback, hyperparameters_of, log_evaluation, write_run
from tests.common.tensorboard.events import MAKERS, events_of, make


def hyperparameters_in(folder: pathlib.Path) -> dict[str, Any]:
    """As TensorBoard reads them."""
    content = events_of(folder).summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
    info = metadata.parse_session_start_info_plugin_data(content)
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in info.hparams.items()}


@pytest.mark.parametrize("name", MAKERS)
def test_the_row_of_each_algorithm(name: str, tmp_path: pathlib.Path) -> None:
    model = make(name, tmp_path)
    model.learn(100, callback=HyperparametersCallback({"note": "mine", "nothing": None}))
    model.logger.close()
    row = hyperparameters_in(tmp_path)
    assert row["algorithm"] == type(model).__name__
    assert row["env"] == "CartPole-v1"
    assert row["note"] == "mine"
    assert row["seed"] == 0
    assert "nothing" not in row
    assert row == {name: value for name, value in {**hyperparameters_of(model), "note": "mine"}.items()}


def test_what_a_row_says_of_reinforce() -> None:
    model = REINFORCE(
        "LinearPolicy",
        "CartPole-v1",
        epsilon=EpsilonSchedule(),
        learning_rate=0.1,
        n_episodes=8,
        policy_kwargs={"net_arch": []},
    )
    row = hyperparameters_of(model)
    assert (row["learning_rate"], row["baseline"], row["n_episodes"], row["net_arch"]) == (0.1, "time", 8, "[]")
    assert str(row["epsilon"]).startswith("EpsilonSchedule(")
    assert (row["policy"], row["n_envs"], row["reward_to_go"]) == ("LinearPolicy", 1, True)
    assert not {"env_id", "verbose", "tensorboard_log", "device"} & set(row)


@pytest.mark.parametrize(
    ("make_model", "expected"),
    [
        (lambda: PPO("MlpPolicy", "CartPole-v1", clip_range=0.3), {"clip_range": 0.3, "n_steps": 2048, "batch_size": 64}),
        (lambda: A2C("MlpPolicy", "CartPole-v1"), {"learning_rate": 7e-4, "gae_lambda": 1.0, "use_rms_prop": None}),
        (lambda: DQN("MlpPolicy", "CartPole-v1", buffer_size=10), {"buffer_size": 10, "exploration_fraction": 0.1}),
        (lambda: SAC("MlpPolicy", "Pendulum-v1", buffer_size=10), {"ent_coef": "auto", "tau": 0.005}),
    ],
    ids=["ppo", "a2c", "dqn", "sac"],
)
def test_constructors_of_others(make_model: Any, expected: dict[str, Any]) -> None:
    row = hyperparameters_of(make_model())
    assert {name: row.get(name) for name in expected} == expected
    assert not any("0x" in str(value) for value in row.values())


def test_a_schedule_is_named_by_its_function() -> None:
    def falling(progress: float) -> float:
        return 0.1 * progress

    assert str(hyperparameters_of(PPO("MlpPolicy", "CartPole-v1", learning_rate=falling))["learning_rate"]).endswith("falling")


def test_what_was_scored_stands_beside_it(tmp_path: pathlib.Path) -> None:
    model = make("ppo", tmp_path)
    model.learn(64, callback=HyperparametersCallback())
    log_evaluation(model.logger, 12.5, 13.0, model.num_timesteps)
    model.logger.close()
    events = events_of(tmp_path)
    assert [(e.step, e.value) for e in events.Scalars("eval/mean_reward")] == [(64, 12.5)]
    assert [(e.step, e.value) for e in events.Scalars("eval/mean_ep_length")] == [(64, 13.0)]


def test_a_run_that_had_no_tensorboard_is_written_once(tmp_path: pathlib.Path) -> None:
    for value in (1.0, 2.0):
        write_run(tmp_path, {"algorithm": "ppo", "gamma": 0.9, "none": None}, {"eval/mean_reward": [(10, 0.5), (20, value)]})
    assert len(list(tmp_path.iterdir())) == 1
    assert hyperparameters_in(tmp_path) == {"algorithm": "ppo", "gamma": 0.9}
    assert [(e.step, e.value) for e in events_of(tmp_path).Scalars("eval/mean_reward")] == [(10, 0.5), (20, 2.0)]
