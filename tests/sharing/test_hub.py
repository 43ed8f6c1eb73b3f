"""Models go to the Hub and come back: with huggingface_hub itself, and a Hub on this machine."""

import json
import pathlib
import re
import warnings
from typing import Any

import gymnasium as gym
import imageio.v3 as iio
import numpy as np
import pytest
import torch as th
import yaml
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_reinforce import REINFORCE, FourierBasis, RandomWeightSearch
from sb3_reinforce.common.archives import DamagedFileError, UntrustedFileError
from sb3_reinforce.sharing import load_from_hub, package_to_hub, push_to_hub, write_package
from tests.sharing.local_hub import LocalHub

REPO = "me/reinforce-CartPole-v1"


@pytest.fixture(autouse=True)
def _no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@pytest.fixture(scope="module")
def model() -> REINFORCE:
    return REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", learning_rate=0.1, seed=0).learn(500)


def weights(model: Any) -> np.ndarray:
    return model.policy.action_net.weight.detach().numpy()


def package(model: Any, **kwargs: Any) -> str:
    return package_to_hub(
        model, **{"repo_id": REPO, "env_id": "CartPole-v1", "n_eval_episodes": 2, "video_length": 0, **kwargs}
    )


def test_there_and_back(hub: LocalHub, model: REINFORCE) -> None:
    assert package(model, token="secret", commit_message="first") == f"{hub.url}/{REPO}"
    assert hub.messages == ["first"]
    assert hub.tokens == {"Bearer secret"}
    assert set(hub.repositories[REPO]) == {"README.md", "config.json", "results.json", "reinforce-CartPole-v1.zip"}
    loaded = load_from_hub(REPO, env="CartPole-v1")
    assert isinstance(loaded, REINFORCE)
    assert (weights(loaded) == weights(model)).all()
    loaded.learn(100)


def test_one_file(hub: LocalHub, tmp_path: pathlib.Path) -> None:
    search = RandomWeightSearch("LinearSoftmaxPolicy", "CartPole-v1", seed=0).learn(200)
    search.save(tmp_path / "search.zip")
    assert push_to_hub("me/search", tmp_path / "search.zip") == f"{hub.url}/me/search"
    loaded = load_from_hub("me/search")
    assert isinstance(loaded, RandomWeightSearch)
    assert (weights(loaded) == weights(search)).all()
    with pytest.raises(FileNotFoundError, match="there is none at"):
        push_to_hub("me/search", tmp_path / "other.zip")


def normalized() -> VecNormalize:
    return VecNormalize(make_vec_env("CartPole-v1", 2, seed=0), clip_obs=3.0)


def test_normalization_goes_with_it(hub: LocalHub) -> None:
    env = normalized()
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=0).learn(500)
    package(model)
    assert (env.training, env.norm_reward) == (True, True), "as they were"
    loaded = load_from_hub(REPO, env="CartPole-v1")
    back: Any = loaded.get_env()
    assert isinstance(back, VecNormalize)
    assert (back.training, back.norm_reward, back.clip_obs) == (False, False, 3.0)
    np.testing.assert_array_equal(back.obs_rms.mean, env.obs_rms.mean)
    with pytest.warns(UserWarning, match="Give env, which is then normalized"):
        load_from_hub(REPO)


def test_it_is_evaluated_normalized(tmp_path: pathlib.Path) -> None:
    """Without the statistics of its training, this good policy would always push to the right."""
    env = VecNormalize(make_vec_env("CartPole-v1", 2), clip_obs=1e6)
    env.obs_rms.mean, env.obs_rms.var = np.full(4, 5.0), np.full(4, 0.01)
    model = REINFORCE("LinearSoftmaxPolicy", env)
    weights = th.tensor([0.1, 0.5, 1.0, 1.0])
    with th.no_grad():
        model.policy.action_net.weight[1] = weights
        model.policy.action_net.bias[1] = 50 * weights.sum()
    for given in (None, env, make_vec_env("CartPole-v1", 1)):
        found = write_package(model, tmp_path, "CartPole-v1", REPO, given, n_eval_episodes=1, video_length=0)
        assert found.mean_reward > 100


def test_a_pickle_of_statistics_is_read_only_if_trusted(hub: LocalHub, model: REINFORCE, tmp_path: pathlib.Path) -> None:
    package(model)
    normalized().save(str(tmp_path / "vec_normalize.pkl"))
    push_to_hub(REPO, tmp_path / "vec_normalize.pkl")
    with pytest.raises(UntrustedFileError, match=r"vec_normalize.pkl.*use trusted=True"):
        load_from_hub(REPO, env="CartPole-v1")
    assert isinstance(load_from_hub(REPO, env="CartPole-v1", trusted=True).get_env(), VecNormalize)


class Hostile:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return pathlib.Path.touch, (self.path,)


def test_a_strangers_file_runs_nothing(hub: LocalHub, tmp_path: pathlib.Path) -> None:
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1")
    model.hostile = Hostile(tmp_path / "ran")
    package(model)
    card = hub.repositories[REPO]["README.md"].decode()
    assert 'env="CartPole-v1", trusted=True)' in card
    assert "Parts of the file are pickles (hostile)" in card
    with pytest.raises(UntrustedFileError, match="hostile"):
        load_from_hub(REPO)
    assert not (tmp_path / "ran").exists()
    load_from_hub(REPO, trusted=True)
    assert (tmp_path / "ran").exists()


def test_other_files(hub: LocalHub, model: REINFORCE, tmp_path: pathlib.Path) -> None:
    PPO("MlpPolicy", "CartPole-v1").save(tmp_path / "ppo.zip")
    push_to_hub("me/ppo", tmp_path / "ppo.zip")
    with pytest.raises(ValueError, match=r"a model of stable_baselines3.PPO, not of REINFORCE"):
        load_from_hub("me/ppo")
    (tmp_path / "damaged.zip").write_bytes(b"PK")
    push_to_hub("me/damaged", tmp_path / "damaged.zip")
    with pytest.raises(DamagedFileError):
        load_from_hub("me/damaged")
    package(model, repo_id="me/ppo")
    with pytest.raises(ValueError, match=r"'me/ppo' has 2 models \(ppo.zip, reinforce-CartPole-v1.zip\): give filename"):
        load_from_hub("me/ppo")
    assert isinstance(load_from_hub("me/ppo", "reinforce-CartPole-v1.zip"), REINFORCE)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"repo_id": "x"}, "repo_id .* must be a repository"),
        ({"n_eval_episodes": 0}, "n_eval_episodes .* an integer of at least 1"),
    ],
)
def test_arguments(given: dict[str, Any], says: str, model: REINFORCE) -> None:
    with pytest.raises(ValueError, match=says):
        package(model, **given)


# The card


def test_the_card_says_what_it_is_and_its_snippets_run(hub: LocalHub, capsys: pytest.CaptureFixture[str]) -> None:
    kwargs: dict[str, Any] = {"features_extractor_class": FourierBasis, "features_extractor_kwargs": {"order": 1}}
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", learning_rate=0.02, n_episodes=4, policy_kwargs=kwargs, seed=3)
    model.learn(200)
    package(model)
    _, metadata, card = hub.repositories[REPO]["README.md"].decode().split("---\n", 2)
    results = json.loads(hub.repositories[REPO]["results.json"])
    (entry,) = yaml.safe_load(metadata)["model-index"]
    score = f"{results['mean_reward']:.2f} +/- {results['std_reward']:.2f}"
    assert entry["results"][0]["metrics"][0]["value"] == score
    assert f"| {score} | 2 |" in card
    assert "sb3-reinforce enjoy reinforce-CartPole-v1.zip --env CartPole-v1" in card
    playing, training = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    exec(playing, {})
    assert re.search(r"\d+\.\d\d \+/- ", capsys.readouterr().out)
    again = eval(training, {"REINFORCE": REINFORCE, "FourierBasis": FourierBasis})
    assert (again.learning_rate, again.n_episodes, again.seed) == (0.02, 4, 3)
    assert type(again.policy.features_extractor) is FourierBasis
    config = json.loads(hub.repositories[REPO]["config.json"])
    assert (
        config["hyperparameters"]["policy_kwargs"]
        == "dict(features_extractor_class=FourierBasis, features_extractor_kwargs=dict(order=1))"
    )


@pytest.mark.parametrize("is_normalized", [False, True])
def test_the_card_of_another_algorithm(hub: LocalHub, is_normalized: bool, capsys: pytest.CaptureFixture[str]) -> None:
    model = PPO("MlpPolicy", normalized() if is_normalized else "CartPole-v1", n_steps=32, batch_size=32, seed=0, device="cpu")
    package(model, repo_id="me/ppo")
    card = hub.repositories["me/ppo"]["README.md"].decode()
    assert "sb3-reinforce enjoy ppo-CartPole-v1.zip --algo ppo --env CartPole-v1 --trusted" in card
    assert "sb3-reinforce zoo train --algo ppo --env CartPole-v1" in card
    assert "Stable-Baselines3 runs code that is in the file" in card
    assert ("`ppo-CartPole-v1.zip` and `vec_normalize.json` downloaded" in card) == is_normalized
    playing, training = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    exec(playing, {})
    assert re.search(r"\d+\.\d\d \+/- ", capsys.readouterr().out)
    again = eval(training, {"PPO": PPO, "VecNormalize": VecNormalize, "make_vec_env": make_vec_env})
    assert (again.n_steps, again.seed) == (32, 0)
    environments = again.get_vec_normalize_env()
    assert (None if environments is None else environments.clip_obs) == (3.0 if is_normalized else None)


def test_the_video_has_a_frame_for_each_timestep(model: REINFORCE, tmp_path: pathlib.Path) -> None:
    write_package(model, tmp_path, "CartPole-v1", REPO, n_eval_episodes=1, video_length=70)
    video = iio.imread(tmp_path / "replay.mp4")
    assert video.shape == (70, 400, 600, 3)
    assert iio.immeta(tmp_path / "replay.mp4")["fps"] == 50
    assert video.std(axis=0).max() > 10, "something moves"
    assert "`replay.mp4` | a video |" in (tmp_path / "README.md").read_text()


def test_without_a_picture_it_is_said(model: REINFORCE, tmp_path: pathlib.Path) -> None:
    with pytest.warns(UserWarning, match="There is no video, for the environment's render mode is None"):
        write_package(model, tmp_path, "CartPole-v1", REPO, gym.make("CartPole-v1"), n_eval_episodes=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_package(model, tmp_path, "CartPole-v1", REPO, gym.make("CartPole-v1"), n_eval_episodes=1, video_length=0)
    assert not (tmp_path / "replay.mp4").exists()
