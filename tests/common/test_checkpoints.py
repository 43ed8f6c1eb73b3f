import pathlib
import warnings
from typing import Any

import pytest
from stable_baselines3 import A2C

from sb3_reinforce import REINFORCE, RandomWeightSearch, ResumableCheckpointCallback
from sb3_reinforce.common import checkpoints

TOTAL = 600


def learned(callback: ResumableCheckpointCallback, total: int = TOTAL) -> REINFORCE:
    return REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", n_episodes=2, seed=0).learn(total, callback)


def steps_in(folder: pathlib.Path) -> list[int]:
    return sorted(int(path.name.split("_")[-2]) for path in folder.iterdir())


@pytest.mark.parametrize("n_kept", [1, 3])
def test_the_last_ones_are_kept(tmp_path: pathlib.Path, n_kept: int) -> None:
    model = learned(ResumableCheckpointCallback(tmp_path, n_kept=n_kept, every_seconds=0))
    assert len(steps_in(tmp_path)) == n_kept
    assert steps_in(tmp_path)[-1] == model.num_timesteps


def test_each_is_between_two_rollouts(tmp_path: pathlib.Path) -> None:
    model = learned(ResumableCheckpointCallback(tmp_path, n_kept=99, every_seconds=0, every_rollouts=2))
    saved = [REINFORCE.load(path) for path in tmp_path.iterdir()]
    n_updates = sorted(each._n_updates for each in saved)
    assert n_updates[:-1] == list(range(2, model._n_updates, 2))
    assert n_updates[-1] == model._n_updates
    assert {each.num_timesteps for each in saved} == set(steps_in(tmp_path))


@pytest.mark.parametrize("seconds", [0.0, 10.0, 35.0])
def test_so_many_seconds_lie_between_two(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """On a clock that goes on ten seconds whenever it is looked at before a rollout."""
    now = 0.0

    def monotonic() -> float:
        return now

    class Clock(ResumableCheckpointCallback):
        def _on_rollout_start(self) -> None:
            nonlocal now
            now += 10.0
            super()._on_rollout_start()

    monkeypatch.setattr(checkpoints.time, "monotonic", monotonic)
    model = learned(Clock(tmp_path, n_kept=99, every_seconds=seconds))
    n_updates = sorted(REINFORCE.load(path)._n_updates for path in tmp_path.iterdir())
    every, first = {0.0: (1, 1), 10.0: (1, 1), 35.0: (4, 3)}[seconds]
    assert n_updates[:-1] == list(range(first, model._n_updates, every))


def test_nothing_but_its_own_is_removed(tmp_path: pathlib.Path) -> None:
    others = ["checkpoint_5_steps.txt", "other_3_steps.zip", "checkpoint_x_steps.zip", "my_checkpoint_1_steps.zip"]
    for name in others:
        (tmp_path / name).write_text("mine")
    learned(ResumableCheckpointCallback(str(tmp_path), n_kept=1, every_seconds=0))
    assert all((tmp_path / name).read_text() == "mine" for name in others)
    assert len(list(tmp_path.iterdir())) == len(others) + 1


def test_the_latest_is_that_of_most_timesteps(tmp_path: pathlib.Path) -> None:
    assert ResumableCheckpointCallback.latest(tmp_path / "nowhere") is None
    assert ResumableCheckpointCallback.latest(tmp_path) is None
    for n in (900, 1000, 20):
        (tmp_path / f"checkpoint_{n}_steps.zip").touch()
    assert ResumableCheckpointCallback.latest(tmp_path) == tmp_path / "checkpoint_1000_steps.zip"
    assert ResumableCheckpointCallback.latest(str(tmp_path), "other") is None


def test_a_folder_of_another_training_is_refused(tmp_path: pathlib.Path) -> None:
    callback = ResumableCheckpointCallback(tmp_path, every_seconds=0)
    learned(callback)
    with pytest.raises(ValueError, match=r"has a checkpoint of \d+ timesteps, but this training begins at 0"):
        learned(callback)
    latest = ResumableCheckpointCallback.latest(tmp_path)
    assert latest is not None
    model = REINFORCE.load(latest, "CartPole-v1" if False else _cartpole())
    model.learn(100, callback, reset_num_timesteps=False)
    assert steps_in(tmp_path)[-1] == model.num_timesteps > TOTAL


def _cartpole() -> Any:
    return REINFORCE("LinearSoftmaxPolicy", "CartPole-v1").get_env()


def test_a_checkpoint_that_cannot_be_written_ends_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="No checkpoint: .* Training goes on"):
        model = learned(ResumableCheckpointCallback(tmp_path / "file", every_seconds=0))
    assert model.num_timesteps >= TOTAL


def test_it_is_for_our_algorithms_alone(tmp_path: pathlib.Path) -> None:
    with pytest.raises(
        ValueError, match=r"for REINFORCE and RandomWeightSearch, but this is a A2C\. Use .*CheckpointCallback"
    ):
        A2C("MlpPolicy", "CartPole-v1", device="cpu").learn(10, ResumableCheckpointCallback(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"save_path": 3}, "save_path"),
        ({"n_kept": 0}, "n_kept"),
        ({"every_seconds": -1.0}, "every_seconds"),
        ({"every_seconds": float("nan")}, "every_seconds"),
        ({"every_rollouts": 1.5}, "every_rollouts"),
        ({"name_prefix": None}, "name_prefix"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} of ResumableCheckpointCallback must be .*, but got"):
        ResumableCheckpointCallback(**{"save_path": "checkpoints", **arguments})


def test_it_says_what_it_saves(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    learned(ResumableCheckpointCallback(tmp_path, n_kept=99, every_seconds=0, verbose=1))
    assert capsys.readouterr().out.count("Saved ") == len(steps_in(tmp_path))


def test_nobody_waits_for_it_at_each_step(tmp_path: pathlib.Path) -> None:
    """Nor is anything lost by that."""
    callback = ResumableCheckpointCallback(tmp_path, every_seconds=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RandomWeightSearch("LinearSoftmaxPolicy", "CartPole-v1", seed=0, reward_threshold=1e9).learn(5_000, [callback])
    assert callback.n_calls == 0
    assert len(steps_in(tmp_path)) >= 2
