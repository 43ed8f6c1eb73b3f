"""REINFORCE used the way SB3's users use an algorithm."""

import io
import pathlib
import threading
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CheckpointCallback,
    EvalCallback,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnRewardThreshold,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import IdentityEnv, SimpleMultiObsEnv
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.utils import LinearSchedule, set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_reinforce import REINFORCE, EpisodeDurationCallback, EpsilonSchedule
from tests.testbed import Toy


def weights(model: REINFORCE) -> np.ndarray:
    return model.policy.parameters_to_vector()


def trained(seed: int | None = 0, n_envs: int = 1, **kwargs: Any) -> np.ndarray:
    env = make_vec_env("CartPole-v1", n_envs=n_envs)
    return weights(REINFORCE("LinearSoftmaxPolicy", env, seed=seed, **kwargs).learn(1_500))


# --- The first promise


def test_learn_without_arguments_solves_cartpole() -> None:
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0).learn()
    env = make_vec_env("CartPole-v1", n_envs=10, seed=1_000)
    assert evaluate_policy(model, env, 100)[0] >= 475
    assert evaluate_policy(model, env, 50, deterministic=False)[0] >= 350


def test_an_mlp_learns_cartpole() -> None:
    env = make_vec_env("CartPole-v1", n_envs=8)
    model = REINFORCE("MlpPolicy", env, seed=1).learn(60_000)
    assert evaluate_policy(model, make_vec_env("CartPole-v1", n_envs=10, seed=1_000), 50)[0] >= 350


def test_an_mlp_improves_on_box_actions() -> None:
    env = make_vec_env(lambda: Toy(action_space=spaces.Box(-1, 1, (2,))), n_envs=4)
    model = REINFORCE("MlpPolicy", env, seed=0)
    before = evaluate_policy(model, env, 100, deterministic=False)[0]
    model.learn(10_000)
    assert evaluate_policy(model, env, 100, deterministic=False)[0] > before + 2  # of 5 at the most


@pytest.mark.parametrize("policy", ["LinearSoftmaxPolicy", "MlpPolicy"])
def test_learns_the_identity(policy: str) -> None:
    env = DummyVecEnv([lambda: IdentityEnv(4, ep_length=10)])
    model = REINFORCE(policy, env, seed=0, n_episodes=10).learn(8_000)
    assert evaluate_policy(model, env, 20, warn=False)[0] > 9


# --- Spaces and policies


@pytest.mark.parametrize(
    "action_space",
    [
        spaces.Discrete(3),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(3),
        spaces.Box(-2, 2, (2,)),
        spaces.Box(0, 1, (2, 2)),
    ],
)
@pytest.mark.parametrize(
    "observation_space",
    [
        spaces.Box(-1, 1, (3,)),
        spaces.Box(-1, 1, (2, 2), np.float64),
        spaces.Discrete(4),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(3),
    ],
)
def test_mlp_policy_serves_every_action_space(observation_space: spaces.Space, action_space: spaces.Space) -> None:
    env = make_vec_env(lambda: Toy(observation_space, action_space), n_envs=2)
    model = REINFORCE("MlpPolicy", env, seed=0, n_episodes=3, epsilon=0.1)
    before = weights(model)
    model.learn(60)
    assert not np.array_equal(before, weights(model))
    action, _ = model.predict(observation_space.sample())
    assert action_space.contains(action if np.ndim(action) else int(action))


def test_cnn_policy() -> None:
    env = Toy(spaces.Box(0, 255, (36, 36, 1), np.uint8))  # channels last: SB3 transposes
    model = REINFORCE("CnnPolicy", env, seed=0, n_episodes=2)
    before = weights(model)
    model.learn(20)
    assert not np.array_equal(before, weights(model))
    assert model.observation_space.shape == (1, 36, 36)


def test_multi_input_policy() -> None:
    env = make_vec_env(lambda: SimpleMultiObsEnv(random_start=False), n_envs=2)
    model = REINFORCE("MultiInputPolicy", env, seed=0, n_episodes=2)
    before = weights(model)
    model.learn(20)
    assert not np.array_equal(before, weights(model))


class _UsersPolicy(ActorCriticPolicy):
    def get_distribution(self, obs: Any) -> Any:
        self.asked = True
        return super().get_distribution(obs)


def test_a_policy_of_the_users() -> None:
    model = REINFORCE(_UsersPolicy, "CartPole-v1", seed=0, n_episodes=2).learn(10)
    assert model.policy.asked


# --- Vectorised environments


@pytest.mark.parametrize("vec_env_cls", [DummyVecEnv, SubprocVecEnv])
def test_several_environments(vec_env_cls: Any) -> None:
    env = make_vec_env("CartPole-v1", n_envs=3, seed=0, vec_env_cls=vec_env_cls)
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=0, n_episodes=5).learn(200)
    assert model.num_timesteps % 3 == 0
    assert len(model.ep_info_buffer) == 5 * model._n_updates  # type: ignore[arg-type]
    env.close()


def test_dummy_and_subproc_learn_the_same() -> None:
    results = []
    for vec_env_cls in (DummyVecEnv, SubprocVecEnv):
        env = make_vec_env("CartPole-v1", n_envs=2, vec_env_cls=vec_env_cls)
        results.append(weights(REINFORCE("LinearSoftmaxPolicy", env, seed=0).learn(500)))
        env.close()
    np.testing.assert_array_equal(*results)


def test_vec_normalize(tmp_path: pathlib.Path) -> None:
    env = VecNormalize(make_vec_env("CartPole-v1", n_envs=2))
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=0).learn(1_000)
    assert model.get_vec_normalize_env() is env
    assert env.obs_rms.count > 1_000  # type: ignore[union-attr]
    rewards = [info["r"] for info in model.ep_info_buffer]  # type: ignore[union-attr]
    assert max(rewards) > 10, "returns are Monitor's, not the normalised ones"
    env.save(str(tmp_path / "stats.pkl"))
    model.save(tmp_path / "model")
    eval_env = VecNormalize.load(str(tmp_path / "stats.pkl"), make_vec_env("CartPole-v1", n_envs=2))
    REINFORCE.load(tmp_path / "model", env=eval_env).learn(200)


def test_steps_are_counted_idle_ones_included() -> None:
    env = make_vec_env("CartPole-v1", n_envs=4)
    calls = []
    step = env.step_async

    def counted(actions: np.ndarray) -> None:
        calls.append(1)
        step(actions)

    env.step_async = counted  # type: ignore[method-assign]
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=0, n_episodes=4).learn(1)
    assert model.num_timesteps == 4 * len(calls)
    assert model.num_timesteps == 4 * model.rollout_buffer.lengths.max()
    assert model.rollout_buffer.size() == model.rollout_buffer.lengths.sum() < model.num_timesteps


def test_each_rollout_starts_from_fresh_environments() -> None:
    class _Look(BaseCallback):
        def __init__(self) -> None:
            super().__init__()
            self.first_observations: list[np.ndarray] = []

        def _on_step(self) -> bool:
            if self.locals["n_steps"] == 0:
                self.first_observations.append(self.model._last_obs)  # type: ignore[arg-type]
            return True

    look = _Look()
    REINFORCE("LinearSoftmaxPolicy", make_vec_env("CartPole-v1", n_envs=3), seed=0).learn(1_000, callback=look)
    assert len(look.first_observations) > 3
    assert np.abs(look.first_observations).max() <= 0.05  # where CartPole starts


def test_a_rollout_resets_once() -> None:
    env = Toy()
    n_resets = []
    reset = env.reset

    def counted(**kwargs: Any) -> Any:
        n_resets.append(1)
        return reset(**kwargs)

    env.reset = counted  # type: ignore[method-assign]
    REINFORCE("LinearSoftmaxPolicy", env, n_episodes=2).learn(40)  # 8 episodes
    assert len(n_resets) == 1 + 4 + 8  # at the beginning of training, before each rollout, and after each episode


# --- Seeds


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_the_same_seed_gives_the_same_weights(n_envs: int, epsilon: float) -> None:
    first, second = trained(7, n_envs, epsilon=epsilon), trained(7, n_envs, epsilon=epsilon)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, trained(8, n_envs, epsilon=epsilon))


def test_the_same_seed_gives_the_same_weights_where_torch_acts() -> None:
    env = make_vec_env(lambda: Toy(action_space=spaces.MultiDiscrete([2, 2])), n_envs=2)
    first, second = (weights(REINFORCE("MlpPolicy", env, seed=7).learn(100)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_sb3s_global_seed_is_enough() -> None:
    results = []
    for _ in range(2):
        set_random_seed(11)
        env = make_vec_env("CartPole-v1", seed=0)
        results.append(weights(REINFORCE("LinearSoftmaxPolicy", env).learn(300)))
    np.testing.assert_array_equal(*results)


def test_evaluation_does_not_change_what_is_learned() -> None:
    callback = EvalCallback(make_vec_env("CartPole-v1", seed=5), eval_freq=200, n_eval_episodes=2, deterministic=False)
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=7).learn(1_500, callback=callback)
    np.testing.assert_array_equal(weights(model), trained(7))


# --- Save, load, continue


@pytest.mark.parametrize("policy", ["LinearSoftmaxPolicy", "MlpPolicy"])
def test_save_and_load(policy: str, tmp_path: pathlib.Path) -> None:
    model = REINFORCE(policy, "CartPole-v1", seed=0, gamma=0.9, n_episodes=4, epsilon=EpsilonSchedule(), max_grad_norm=1.0)
    model.learn(300)
    model.save(tmp_path / "model")
    loaded = REINFORCE.load(tmp_path / "model", env=make_vec_env("CartPole-v1", n_envs=3))
    np.testing.assert_array_equal(weights(model), weights(loaded))
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    np.testing.assert_array_equal(model.predict(obs, deterministic=True)[0], loaded.predict(obs, deterministic=True)[0])
    for name in ("gamma", "n_episodes", "epsilon", "max_grad_norm", "baseline", "num_timesteps", "_episode_num"):
        assert getattr(model, name) == getattr(loaded, name), name
    loaded.learn(100, reset_num_timesteps=False)
    assert loaded.num_timesteps > model.num_timesteps
    assert loaded.exploration_rate < 1 - 0.002 * model._episode_num + 1e-9


def test_load_without_environment_predicts_and_learns_once_it_has_one(tmp_path: pathlib.Path) -> None:
    REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0).learn(100).save(tmp_path / "model.zip")
    model = REINFORCE.load(tmp_path / "model.zip")
    model.predict(np.zeros(4, np.float32))
    model.set_env(gym.make("CartPole-v1"))
    model.learn(100)


def test_optimizer_goes_on_from_where_it_was() -> None:
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0).learn(300)
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    loaded = REINFORCE.load(file)
    mine, theirs = (m.policy.optimizer.state_dict()["state"] for m in (model, loaded))
    assert mine
    th.testing.assert_close(mine, theirs)


def test_get_and_set_parameters() -> None:
    model, other = (REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=s).learn(200) for s in (0, 1))
    other.set_parameters(model.get_parameters())
    np.testing.assert_array_equal(weights(model), weights(other))
    other.learn(100)
    assert not np.array_equal(weights(model), weights(other))


def test_learn_again_goes_on_or_starts_anew() -> None:
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0).learn(200)
    steps = model.num_timesteps
    model.learn(200, reset_num_timesteps=False)
    assert model.num_timesteps >= steps + 200
    model.learn(1)
    assert model.num_timesteps == model.rollout_buffer.size(), "counted from 0: one rollout"


# --- Callbacks and logs


def test_sb3s_callbacks(tmp_path: pathlib.Path) -> None:
    env = make_vec_env("CartPole-v1", n_envs=2)
    callbacks: list[BaseCallback] = [
        EvalCallback(
            make_vec_env("CartPole-v1"), log_path=str(tmp_path), best_model_save_path=str(tmp_path), eval_freq=100, verbose=0
        ),
        CheckpointCallback(save_freq=200, save_path=str(tmp_path)),
    ]
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=0).learn(1_000, callback=callbacks, progress_bar=True)
    assert (tmp_path / "best_model.zip").exists()
    assert (tmp_path / "evaluations.npz").exists()
    assert (tmp_path / "rl_model_400_steps.zip").exists()
    # It was saved in the middle of a rollout, from whose beginning it goes on
    assert 0 < REINFORCE.load(tmp_path / "rl_model_400_steps.zip").num_timesteps < 400
    assert model.num_timesteps >= 1_000


def test_stop_training_on_reward_threshold() -> None:
    stop = StopTrainingOnRewardThreshold(reward_threshold=50)
    callback = EvalCallback(make_vec_env("CartPole-v1"), callback_on_new_best=stop, eval_freq=500, verbose=0)
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0).learn(50_000, callback=callback)
    assert callback.best_mean_reward >= 50
    assert model.num_timesteps < 20_000


def test_a_callback_that_stops_in_the_middle_of_a_rollout_leaves_the_weights_and_can_go_on() -> None:
    model = REINFORCE("LinearSoftmaxPolicy", make_vec_env("CartPole-v1", n_envs=2), seed=0)
    before = weights(model)
    model.learn(1_000, callback=StopTrainingOnMaxEpisodes(2))
    np.testing.assert_array_equal(before, weights(model))
    model.learn(500, reset_num_timesteps=False)
    assert not np.array_equal(before, weights(model))


def test_after_a_stop_at_the_first_step_the_next_rollout_starts_afresh() -> None:
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0, n_episodes=2)
    model.learn(100, callback=lambda _locals, _globals: False)
    assert not model._last_episode_starts.all()  # type: ignore[union-attr]
    model.learn(1, reset_num_timesteps=False)
    assert model.num_timesteps == 1 + model.rollout_buffer.size()


@pytest.mark.parametrize("n_envs", [1, 2])
def test_after_an_error_at_the_first_step_the_next_rollout_starts_afresh(n_envs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make_vec_env("CartPole-v1", n_envs)
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=0, n_episodes=2)
    with monkeypatch.context() as patch:
        step_wait = env.step_wait
        patch.setattr(env, "step_wait", lambda: [step_wait(), 1 / 0])
        with pytest.raises(ZeroDivisionError):
            model.learn(1)
    model.learn(1, reset_num_timesteps=False)
    lengths = [info["l"] for info in model.ep_info_buffer]  # type: ignore[union-attr]
    assert sorted(lengths) == sorted(model.rollout_buffer.lengths), "Monitor has seen no step more"


def test_functional_callback_sees_what_sb3s_callbacks_see() -> None:
    seen: dict[str, Any] = {}

    def look(locals_: dict[str, Any], _globals: dict[str, Any]) -> bool:
        seen.update(locals_)
        return True

    REINFORCE("LinearSoftmaxPolicy", make_vec_env("CartPole-v1", n_envs=2), seed=0).learn(50, callback=look)
    for name in (
        "self",
        "env",
        "actions",
        "new_obs",
        "rewards",
        "dones",
        "infos",
        "n_steps",
        "total_timesteps",
        "tb_log_name",
    ):
        assert name in seen, name
    assert len(seen["infos"]) == 2


def test_tensorboard_holds_durations_returns_losses_and_epsilon(tmp_path: pathlib.Path) -> None:
    model = REINFORCE(
        "LinearSoftmaxPolicy", "CartPole-v1", seed=0, tensorboard_log=str(tmp_path), epsilon=EpsilonSchedule(0.5)
    )
    duration = EpisodeDurationCallback()
    model.learn(1_000, callback=duration)
    events = EventAccumulator(str(tmp_path / "REINFORCE_1"))
    events.Reload()
    for key in (
        "rollout/ep_len_mean",
        "rollout/ep_rew_mean",
        "rollout/episode_length",
        "rollout/episode_return",
        "rollout/epsilon",
        "train/policy_loss",
        "train/entropy_loss",
        "train/grad_norm",
        "train/learning_rate",
        "time/fps",
    ):
        values = [event.value for event in events.Scalars(key)]
        assert len(values) >= model._n_updates, key
        assert np.isfinite(values).all(), key
    epsilons = [event.value for event in events.Scalars("rollout/epsilon")]
    np.testing.assert_allclose(epsilons, [0.5 - 0.002 * (8 * (i + 1) - 1) for i in range(len(epsilons))], rtol=1e-5)
    assert [event.value for event in events.Scalars("rollout/episode_length")][-1] == duration.lengths[-1]
    assert [event.step for event in events.Scalars("train/policy_loss")][-1] == model.num_timesteps


def test_log_interval_and_other_outputs(tmp_path: pathlib.Path) -> None:
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0, n_episodes=2)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(500, log_interval=3)
    rows = (tmp_path / "progress.csv").read_text().splitlines()
    assert len(rows) == 1 + model._n_updates // 3
    model.learn(100, log_interval=None)
    assert len((tmp_path / "progress.csv").read_text().splitlines()) == len(rows)


def test_only_episodes_of_the_rollouts_enter_the_statistics() -> None:
    """An idle environment goes on playing; the episodes it ends are the short ones."""
    model = REINFORCE("LinearSoftmaxPolicy", make_vec_env("CartPole-v1", n_envs=8), seed=0, n_episodes=8).learn(1)
    lengths = [info["l"] for info in model.ep_info_buffer]  # type: ignore[union-attr]
    assert sorted(lengths) == sorted(model.rollout_buffer.lengths)


# --- Arguments and bad input


@pytest.mark.parametrize("n_envs", [1, 3, 40])
def test_the_statistics_are_the_same_whether_somebody_listens_or_not(n_envs: int) -> None:
    """If nobody does, the episodes that the window would forget before it is logged are left out."""

    def statistics(callback: Any) -> list[tuple[float, int]]:
        env = make_vec_env("CartPole-v1", n_envs=n_envs, seed=0)
        model = REINFORCE("LinearSoftmaxPolicy", env, n_episodes=30, stats_window_size=7, seed=0)
        model.learn(2_000, callback=callback)
        assert model.ep_info_buffer is not None
        return [(info["r"], info["l"]) for info in model.ep_info_buffer]

    unheard = statistics(None)
    assert len(unheard) == 7
    assert unheard == statistics(lambda *_: True)


def test_learning_rate_and_epsilon_take_sb3s_schedules() -> None:
    model = REINFORCE(
        "LinearSoftmaxPolicy",
        "CartPole-v1",
        seed=0,
        learning_rate=LinearSchedule(0.1, 0.0, 1.0),
        epsilon=LinearSchedule(0.5, 0.0, 1.0),
    )
    model.learn(2_000)
    assert 0 <= model.exploration_rate < 0.25
    assert model.policy.optimizer.param_groups[0]["lr"] < 0.05


def test_max_grad_norm_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    norms = []
    model = REINFORCE("MlpPolicy", "CartPole-v1", seed=0, max_grad_norm=0.01)
    step = model.policy.optimizer.step

    def look(*args: Any) -> Any:
        gradients = [p.grad.flatten() for p in model.policy.parameters() if p.grad is not None]
        norms.append(float(th.cat(gradients).norm()))
        return step(*args)

    monkeypatch.setattr(model.policy.optimizer, "step", look)
    model.learn(300)
    assert norms
    assert max(norms) <= 0.0101


def test_the_value_net_is_left_alone() -> None:
    model = REINFORCE("MlpPolicy", "CartPole-v1", seed=0)
    before = [p.clone() for p in model.policy.value_net.parameters()]  # type: ignore[union-attr]
    model.learn(300)
    th.testing.assert_close(before, list(model.policy.value_net.parameters()))  # type: ignore[union-attr]


@pytest.mark.parametrize("baseline", ["linear", "value"])
def test_a_baseline_that_was_fitted_is_saved_and_goes_on(baseline: str, tmp_path: pathlib.Path) -> None:
    def make() -> REINFORCE:
        return REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", baseline=baseline, n_value_updates=5, seed=0, n_episodes=4)

    model = make().learn(2_000)
    model.save(tmp_path / "model")
    model.save(tmp_path / "without", exclude=["_linear_baseline"])
    after = []
    for m in (model, *(REINFORCE.load(tmp_path / name) for name in ("model", "without"))):
        m.set_env(make_vec_env("CartPole-v1", seed=5))
        m.set_random_seed(7)
        after.append(weights(m.learn(1, reset_num_timesteps=False)))  # what is learned depends on the baseline
    np.testing.assert_array_equal(after[0], after[1])
    assert np.array_equal(after[0], after[2]) == (baseline == "value")


@pytest.mark.parametrize("arguments", [{"baseline": "value"}, {"bootstrap_truncated": True}, {"baseline": "linear"}])
@pytest.mark.parametrize("policy", ["LinearSoftmaxPolicy", "MlpPolicy"])
def test_with_a_learned_baseline_the_same_seed_gives_the_same_weights(policy: str, arguments: dict[str, Any]) -> None:
    weights = []
    for _ in range(2):
        model = REINFORCE(policy, make_vec_env("CartPole-v1", 2, seed=1), seed=1, n_value_updates=3, **arguments)
        weights.append(model.learn(1_000).policy.parameters_to_vector())
    np.testing.assert_array_equal(*weights)


def test_a_function_as_baseline_is_asked_and_fitted_once_a_rollout(tmp_path: pathlib.Path) -> None:
    baseline = MeanReturn()
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", baseline=baseline, n_episodes=3, seed=0).learn(200)
    assert baseline.calls == ["values", "fit"] * model._n_updates
    model.save(tmp_path / "model")
    loaded = REINFORCE.load(tmp_path / "model", env=model.get_env(), trusted=True)
    assert loaded.baseline.mean == baseline.mean > 0  # type: ignore[union-attr]


def test_a_baseline_that_can_not_be_pickled_is_named(tmp_path: pathlib.Path) -> None:
    baseline = MeanReturn()
    baseline.lock = threading.Lock()  # type: ignore[attr-defined]
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", baseline=baseline, seed=0)
    with pytest.raises(ValueError, match=r"baseline <.*MeanReturn.* can't be pickled: .*lock.*exclude=\['baseline'\]"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())
    model.save(tmp_path / "model", exclude=["baseline"])
    loaded = REINFORCE.load(tmp_path / "model")
    np.testing.assert_array_equal(weights(loaded), weights(model))


@pytest.mark.parametrize(
    ("argument", "value", "norm"), [("n_value_updates", 0, 0.0), ("vf_coef", 0.0, 0.0), ("max_grad_norm", 1e-3, 1e-3)]
)
def test_what_is_set_after_construction_holds_for_the_value_net_too(argument: str, value: float, norm: float) -> None:
    sgd = {"optimizer_class": th.optim.SGD}
    model = REINFORCE("LinearSoftmaxPolicy", Toy(), baseline="value", learning_rate=1.0, n_value_updates=1, policy_kwargs=sgd)
    setattr(model, argument, value)
    before = value_parameters(model)
    model.learn(1)
    assert float((value_parameters(model) - before).norm()) == pytest.approx(norm, rel=1e-3)


def value_parameters(model: REINFORCE) -> th.Tensor:
    return th.nn.utils.parameters_to_vector(model.policy.value_net.parameters()).detach()


class MeanReturn:
    """A user's own baseline."""

    def __init__(self) -> None:
        self.mean, self.calls = 0.0, list[str]()

    def __call__(self, observations: Any, timesteps: np.ndarray) -> np.ndarray:
        assert observations.shape == (len(timesteps), 4)
        assert timesteps[0] == 0
        self.calls.append("values")
        return np.full(len(timesteps), self.mean)

    def fit(self, observations: Any, timesteps: np.ndarray, returns: np.ndarray) -> None:
        self.calls.append("fit")
        self.mean = float(returns.mean())


@pytest.mark.parametrize("values", [lambda obs, t: np.zeros(3), lambda obs, t: np.full(len(t), np.nan)])
def test_a_function_that_is_no_baseline_is_told_so_and_nothing_is_learned(values: Any) -> None:
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", baseline=values, seed=0)
    with pytest.raises(ValueError, match=r"baseline must give a finite number for each timestep.*Nothing was learned"):
        model.learn(100)
    assert not model.policy.action_net.weight.any()


def test_the_natural_gradient_solves_cartpole_in_fewer_steps() -> None:
    model = REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", natural_gradient=True, seed=0).learn(20_000)
    assert evaluate_policy(model, make_vec_env("CartPole-v1", 10, seed=9), 50)[0] > 300


@pytest.mark.parametrize("learning_rate", [1.0, 0.1])
def test_beside_the_natural_gradient_the_value_net_steps_as_adam_does(learning_rate: float) -> None:
    """The first step of Adam moves every parameter by its step size."""
    model = REINFORCE(
        "LinearSoftmaxPolicy",
        Toy(),
        natural_gradient=True,
        learning_rate=learning_rate,
        baseline="value",
        n_value_updates=1,
        seed=0,
    )
    before, weight = value_parameters(model), model.policy.action_net.weight.detach().clone()
    model.learn(1, log_interval=None)
    np.testing.assert_allclose((value_parameters(model) - before).abs(), 0.01, rtol=1e-3)
    assert not th.equal(model.policy.action_net.weight, weight)
    assert model.logger.name_to_value["train/learning_rate"] == learning_rate


@pytest.mark.parametrize(
    ("arguments", "most_features", "words"),
    [
        ({"natural_gradient": True}, 2_499, r"natural_gradient solves.*parameters, 5,002 here.*Use natural_gradient=False"),
        ({"baseline": "linear"}, 2_498, r"baseline='linear' solves.*regressors, 5,002 here.*Use baseline='time' or 'value'"),
    ],
)
def test_too_many_unknowns_are_refused(arguments: dict[str, Any], most_features: int, words: str) -> None:
    REINFORCE("LinearSoftmaxPolicy", Toy(spaces.Box(-1, 1, (most_features,))), **arguments)
    with pytest.raises(ValueError, match=words):
        REINFORCE("LinearSoftmaxPolicy", Toy(spaces.Box(-1, 1, (most_features + 1,))), **arguments)


def test_what_is_logged_of_advantages_and_baseline() -> None:
    model = REINFORCE("MlpPolicy", "CartPole-v1", baseline="value", log_gradient_snr=True, seed=0, n_episodes=4)
    seen: dict[str, float] = {}

    class Look(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:
            seen.update(self.logger.name_to_value)

    model.learn(1_000, callback=Look(), log_interval=10**6)
    for key in (
        "advantage_mean",
        "advantage_std",
        "explained_variance",
        "value_loss",
        "gradient_snr",
        "grad_norm",
        "entropy_loss",
    ):
        assert np.isfinite(seen[f"train/{key}"]), key
    assert seen["train/advantage_std"] > 0
    assert seen["train/gradient_snr"] >= -1
    assert -np.log(2) <= seen["train/entropy_loss"] < 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"baseline": "best"}, "baseline of REINFORCE must be one of 'none', .*'optimal' or a function"),
        ({"baseline": "optimal", "n_episodes": 1}, "needs the other episodes"),
        ({"log_gradient_snr": True, "n_episodes": 1, "baseline": "none"}, "log_gradient_snr needs the spread"),
        ({"ent_coef": np.nan}, "ent_coef of REINFORCE must be a finite number, but got nan"),
        ({"vf_coef": -1.0}, "vf_coef of REINFORCE must be a finite number of at least 0"),
        ({"n_value_updates": -1}, "n_value_updates of REINFORCE must be an integer of at least 0"),
        ({"target_kl": 0.0}, "target_kl of REINFORCE must be a number above 0"),
        ({"damping": -1.0}, "damping of REINFORCE must be a finite number of at least 0"),
        ({"n_episodes": 0}, "n_episodes of REINFORCE must be an integer of at least 1 or None, but got 0"),
        ({"n_episodes": 2.5}, "n_episodes of REINFORCE must be an integer of at least 1 or None, but got 2.5"),
        ({"n_value_updates": 1.5}, "n_value_updates of REINFORCE must be an integer of at least 0, but got 1.5"),
        ({"gamma": 1.5}, "gamma of REINFORCE must be a finite number from 0 to 1, but got 1.5"),
        (
            {"gae_lambda": -0.1, "baseline": "linear"},
            "gae_lambda of REINFORCE must be a finite number from 0 to 1, but got -0.1",
        ),
        ({"gae_lambda": 0.9}, "gae_lambda=0.9 needs the value of each state.*baseline is 'time'.*Use baseline='linear'"),
        ({"gae_lambda": 0.9, "baseline": "value", "reward_to_go": False}, "gae_lambda=0.9 .*reward_to_go False"),
        ({"baseline": 3}, "baseline of REINFORCE must be one of .* but got 3"),
        ({"baseline": "leave_one_out", "n_episodes": 1}, "needs the other episodes"),
        ({"baseline": "time", "n_episodes": 1}, "needs the other episodes"),
        ({"epsilon": 1.5}, "epsilon of REINFORCE must be a finite number from 0 to 1.*, but got 1.5"),
        ({"epsilon": lambda _: -1.0}, r"epsilon \(its value with 1 of .*\) must be a finite number from 0 to 1, but got -1.0"),
        ({"max_grad_norm": 0.0}, "max_grad_norm of REINFORCE must be a number above 0 or None"),
        ({"learning_rate": "1e-3"}, "learning_rate of REINFORCE must be .* It is a text: leave out the quotation marks"),
        ({"natural_gradient": 1}, "natural_gradient of REINFORCE must be True or False"),
        ({"max_episode_steps": 0}, "max_episode_steps of REINFORCE must be a number of at least 1"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", **arguments)


def test_state_dependent_exploration_is_refused() -> None:
    with pytest.raises(ValueError, match=r"use_sde=True.*SB3's A2C or PPO"):
        REINFORCE("MlpPolicy", "Pendulum-v1", policy_kwargs={"use_sde": True})


def test_an_unknown_policy_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'LineaPolicy' is unknown.*LinearSoftmaxPolicy.*MlpPolicy"):
        REINFORCE("LineaPolicy", "CartPole-v1")


@pytest.mark.parametrize(
    "env",
    [Toy(action_space=spaces.Discrete(3, start=1)), Toy(spaces.Discrete(3, start=-1))],
    ids=["actions from 1", "observations from -1"],
)
def test_spaces_that_sb3_can_not_serve_are_refused(env: Toy) -> None:
    with pytest.raises(ValueError, match="must start at 0"):
        REINFORCE("MlpPolicy", env)


@pytest.mark.parametrize("policy", ["LinearSoftmaxPolicy", "MlpPolicy"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("what", ["obs", "reward"])
def test_values_that_are_not_finite_stop_training_and_leave_the_weights(what: str, bad: float, policy: str) -> None:
    env = Toy()
    model = REINFORCE(policy, env, seed=0).learn(40)
    before = weights(model)
    setattr(env, what, np.full(2, bad, np.float32) if what == "obs" else bad)
    with pytest.raises(ValueError, match="not finite"):
        model.learn(40)
    np.testing.assert_array_equal(before, weights(model))


def test_a_gradient_that_is_not_finite_is_not_followed() -> None:
    env = Toy()
    model = REINFORCE("LinearSoftmaxPolicy", env, seed=0, normalize_advantage=False, baseline="none")
    env.reward = 3e38
    before = weights(model)
    with pytest.raises(FloatingPointError, match="gradient is not finite"):
        model.learn(40)
    np.testing.assert_array_equal(before, weights(model))


@pytest.mark.parametrize("arguments", [{"baseline": "value"}, {"bootstrap_truncated": True}])
def test_returns_too_large_for_the_value_net_are_refused_before_the_policys_step(arguments: dict[str, Any]) -> None:
    env = Toy()
    model = REINFORCE("MlpPolicy", env, seed=0, **arguments)  # normalised advantages: the policy itself could make a step
    env.reward = 1e25
    before = weights(model)
    with pytest.raises(FloatingPointError, match=r"value net can't be fitted.*Nothing was learned"):
        model.learn(40)
    np.testing.assert_array_equal(before, weights(model))


def test_an_episode_that_never_ends_is_told() -> None:
    env = Toy()
    env.never_ends = True
    with pytest.raises(RuntimeError, match=r"not ended within 50 timesteps.*TimeLimit"):
        REINFORCE("LinearSoftmaxPolicy", env, max_episode_steps=50).learn(100)


def test_long_rollouts_of_episodes_that_end_are_no_such_thing() -> None:
    REINFORCE("LinearSoftmaxPolicy", Toy(), n_episodes=20, max_episode_steps=6).learn(100)


def test_loading_a_damaged_file_says_so(tmp_path: pathlib.Path) -> None:
    REINFORCE("LinearSoftmaxPolicy", "CartPole-v1", seed=0).save(tmp_path / "model.zip")
    content = (tmp_path / "model.zip").read_bytes()
    (tmp_path / "half.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"half\.zip' is not a saved model, or is damaged"):
        REINFORCE.load(tmp_path / "half.zip")
    with pytest.raises(FileNotFoundError):
        REINFORCE.load(tmp_path / "none.zip")
