import io
import pathlib
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from stable_baselines3 import PPO
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_reinforce.common.tensorboard import EpisodeVideoCallback, PolicyPictureCallback
from sb3_reinforce.common.tensorboard.pictures import frames_of_episode, gif_of
from tests.common.tensorboard.events import MAKERS, events_of, make


class Shades(gym.Env[Any, Any]):
    """Episodes of 7 timesteps, whose pictures get lighter from one to the next; closed ones are counted."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}
    observation_space = gym.spaces.Box(-1, 10, (4,))
    action_space = gym.spaces.Discrete(2)
    n_made, n_closed = 0, 0

    def __init__(self, render_mode: str | None = "rgb_array") -> None:
        self.render_mode, self.t = render_mode, 0
        Shades.n_made += 1

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.full(4, 0, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return np.full(4, self.t, np.float32), 1.0, self.t == 7, False, {}

    def render(self) -> Any:
        return np.full((40, 60, 3), 30 * self.t, np.uint8)

    def close(self) -> None:
        Shades.n_closed += 1


def pictures_in(folder: pathlib.Path, tag: str) -> list[tuple[int, Any]]:
    images = events_of(folder).Images(tag)
    return [(image.step, Image.open(io.BytesIO(image.encoded_image_string))) for image in images]


@pytest.mark.parametrize("name", MAKERS)
def test_a_picture_of_each_algorithms_policy(name: str, tmp_path: pathlib.Path) -> None:
    model = make(name, tmp_path)
    model.learn(100, callback=PolicyPictureCallback(2, 3, every=10_000, n_points=5, labels=("angle", "velocity")))
    model.logger.close()
    (first, picture), (last, _) = pictures_in(tmp_path, "policy/decision_surface")
    assert (first, last) == (0, model.num_timesteps)
    assert (picture.format, picture.size) == ("PNG", (520, 420))
    assert np.asarray(picture.convert("L")).std() > 10


def test_numbers_that_are_not_observed_are_refused_before_training(tmp_path: pathlib.Path) -> None:
    model = make("ppo", tmp_path)
    with pytest.raises(ValueError, match="two different numbers of the observation"):
        model.learn(100, callback=PolicyPictureCallback(2, 9))
    assert model.num_timesteps == 0


@pytest.mark.parametrize("name", MAKERS)
def test_a_video_of_each_algorithm(name: str, tmp_path: pathlib.Path) -> None:
    model = make(name, tmp_path)
    before = Shades.n_made
    model.learn(100, callback=EpisodeVideoCallback(Shades, every=10_000))
    model.logger.close()
    (first, video), (last, _) = pictures_in(tmp_path, "eval/episode")
    assert (first, last) == (0, model.num_timesteps)
    assert (video.format, video.size, video.n_frames, video.info["duration"]) == ("GIF", (60, 40), 4, 40)
    assert (Shades.n_made - before, Shades.n_closed) == (2, Shades.n_made)


def test_the_episode_that_is_played() -> None:
    model = MAKERS["ppo"]()
    frames, frames_per_second = frames_of_episode(model, DummyVecEnv([Shades]), 100, seed=0)
    assert [frame[0, 0, 0] // 30 for frame in frames] == [0, 2, 4, 6]
    assert frames_per_second == 25
    assert len(frames_of_episode(model, DummyVecEnv([Shades]), 4, seed=0)[0]) == 2


def test_it_is_the_same_episode_each_time_greedily(tmp_path: pathlib.Path) -> None:
    model = MAKERS["ppo"]()
    env = gym.make("CartPole-v1", render_mode="rgb_array")
    first, second = (frames_of_episode(model, DummyVecEnv([lambda: env]), 30, seed=5)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_wide_video_is_shrunk_to_its_shape() -> None:
    frames = [np.full((40, 60, 3), shade, np.uint8) for shade in (0, 100, 200)]
    content, width, height = gif_of(frames, 20.0, max_width=30)
    gif = Image.open(io.BytesIO(content))
    assert (gif.size, (width, height), gif.n_frames, gif.info["loop"]) == ((30, 20), (30, 20), 3, 0)
    shades = []
    for i in range(3):
        gif.seek(i)
        shades.append(np.asarray(gif.convert("L")).mean())
    np.testing.assert_allclose(shades, [0, 100, 200], atol=3)


class _Sees:
    """Whoever asks it what to do: what it was shown."""

    def __init__(self, model: PPO) -> None:
        self.model = model
        self.seen: list[np.ndarray] = []

    def get_vec_normalize_env(self) -> VecNormalize | None:
        return self.model.get_vec_normalize_env()

    def predict(self, obs: np.ndarray, *args: Any, **kwargs: Any) -> Any:
        self.seen.append(obs.copy())
        return self.model.predict(obs, *args, **kwargs)


@pytest.mark.parametrize("is_wrapped", [False, True], ids=["plain", "in a VecNormalize of its own"])
def test_observations_are_normalised_as_in_training(is_wrapped: bool) -> None:
    training = VecNormalize(DummyVecEnv([Shades]))
    training.obs_rms.mean, training.obs_rms.var = np.full(4, 2.0), np.full(4, 4.0)
    model = _Sees(PPO("MlpPolicy", training, device="cpu"))
    env: Any = DummyVecEnv([Shades])
    frames_of_episode(model, VecNormalize(env, training=False) if is_wrapped else env, 3, seed=0)
    np.testing.assert_allclose(np.array(model.seen)[:, 0, 0], [-1.0, -0.5, 0.0], atol=1e-6)


def test_an_environment_that_shows_nothing_is_refused(tmp_path: pathlib.Path) -> None:
    model = PPO("MlpPolicy", "CartPole-v1", device="cpu")
    model.set_logger(configure(str(tmp_path), ["tensorboard"]))
    with pytest.raises(ValueError, match="must render pictures, but its render_mode is None"):
        model.learn(10, callback=EpisodeVideoCallback(lambda: Shades(None)))
