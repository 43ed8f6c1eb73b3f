import ast
import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN

from sb3_reinforce import REINFORCE, RandomWeightSearch
from sb3_reinforce.common.checks import check_features, check_policy_name, check_spaces, check_that_episodes_end
from sb3_reinforce.policies import CnnPolicy, LinearGaussianPolicy, LinearSoftmaxPolicy, MlpPolicy, MultiInputPolicy

BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)
DISCRETE = spaces.Discrete(3)
TABLE = spaces.MultiDiscrete(np.array([[2, 3], [2, 2]]))


def test_policy_names() -> None:
    aliases = {"MlpPolicy": ActorCriticPolicy, "LinearSoftmaxPolicy": LinearSoftmaxPolicy}
    assert check_policy_name("MlpPolicy", aliases) is ActorCriticPolicy  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'mlp' is unknown\. Use one of MlpPolicy, LinearSoftmaxPolicy, or a policy class"):
        check_policy_name("mlp", aliases)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("observation_space", "action_space"),
    [
        (BOX, DISCRETE),
        (DISCRETE, BOX),
        (spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(4)),
        (spaces.MultiBinary(4), spaces.MultiDiscrete([2, 3])),
        (spaces.Dict(a=BOX, b=DISCRETE), DISCRETE),
    ],
)
def test_spaces_that_are_served(observation_space: spaces.Space, action_space: spaces.Space) -> None:
    check_spaces(observation_space, action_space)


@pytest.mark.parametrize(
    ("observation_space", "action_space", "message"),
    [
        (spaces.Tuple([BOX, BOX]), DISCRETE, r"they are Tuple.*FlattenObservation\.$"),
        (spaces.Text(5), DISCRETE, r"they are Text.*TransformObservation"),
        (
            spaces.Dict(a=BOX, b=spaces.Dict(c=BOX)),
            DISCRETE,
            r"but 'b' is Dict.*Wrap .*FlattenObservation\.$",
        ),
        (spaces.Dict(a=spaces.Text(5)), DISCRETE, r"'a' is Text.*TransformObservation"),
        (spaces.Dict(a=BOX, b=spaces.Text(5)), DISCRETE, r"but 'b' is Text.*FilterObservation\(env, \['a'\]\)\.$"),
        (spaces.Dict(a=BOX, b=spaces.Sequence(BOX)), DISCRETE, r"but 'b' is Sequence.*FilterObservation\(env, \['a'\]\)\.$"),
        (spaces.Discrete(3, start=1), DISCRETE, r"the observation is Discrete\(3, start=1\).*TransformObservation"),
        (spaces.Dict(a=spaces.MultiDiscrete([2, 3], start=[0, 1])), DISCRETE, "the observation 'a' is MultiDiscrete"),
        (BOX, spaces.Discrete(3, start=-1), "the action is Discrete.*TransformAction"),
        (BOX, spaces.MultiDiscrete([2, 3], start=[0, 1]), "the action is MultiDiscrete"),
        (BOX, TABLE, "MultiDiscrete spaces must have one dimension, but the action"),
        (TABLE, DISCRETE, "MultiDiscrete spaces must have one dimension, but the observation is"),
        (spaces.Dict(a=TABLE), DISCRETE, "one dimension, but the observation 'a' is"),
        (BOX, spaces.MultiBinary([2, 2]), "MultiBinary actions must have one dimension"),
        (spaces.Box(-1, 1, ()), DISCRETE, "the observation is a single number.*ReshapeObservation"),
        (spaces.Dict(a=BOX, b=spaces.Box(-1, 1, ())), DISCRETE, "the observation 'b' is a single number.*FlattenObservation"),
        (BOX, spaces.Tuple([DISCRETE, DISCRETE]), "Actions must be Discrete, MultiDiscrete.*TransformAction"),
        (BOX, spaces.Dict(a=DISCRETE), "Actions must be Discrete, MultiDiscrete"),
        (BOX, spaces.Box(-np.inf, np.inf, (2,)), r"finite bounds, but they are Box\(-inf, inf.*TransformAction"),
        (BOX, spaces.Box(np.array([-1, 0]), np.array([1, np.inf]), dtype=np.float64), "finite bounds"),
    ],
)
def test_spaces_that_are_not_served(observation_space: spaces.Space, action_space: spaces.Space, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_spaces(observation_space, action_space)


def image(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


IMAGE = image(3, 36, 40)
NOT_SCALED = {"normalize_images": False}
DICT = spaces.Dict(a=BOX, b=IMAGE)


class _OwnPolicy(ActorCriticPolicy):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, features_extractor_class=NatureCNN, **kwargs)


@pytest.mark.parametrize(
    ("policy", "space", "policy_kwargs"),
    [
        (MlpPolicy, BOX, {}),
        (MlpPolicy, IMAGE, {}),
        (ActorCriticPolicy, DISCRETE, {}),
        (LinearSoftmaxPolicy, DICT, {}),
        (LinearGaussianPolicy, DICT, {}),
        (CnnPolicy, IMAGE, {}),
        (CnnPolicy, spaces.Box(-1, 1, (3, 36, 36)), {"normalize_images": False}),
        (CnnPolicy, BOX, {"features_extractor_class": FlattenExtractor}),
        (MultiInputPolicy, DICT, {}),
        (MultiInputPolicy, spaces.Dict(a=BOX, b=spaces.Box(0, 1, (1, 8, 8))), {}),  # no image, so it is flattened
        (LinearSoftmaxPolicy, spaces.Dict(a=BOX, b=image(3, 7, 7)), {}),
        (MlpPolicy, image(3, 7, 7), {}),
        (MlpPolicy, DICT, {"features_extractor_class": CombinedExtractor}),
        (_OwnPolicy, BOX, {}),  # how it is made is not known
    ],
)
def test_features_that_serve_the_observations(policy: Any, space: spaces.Space, policy_kwargs: dict[str, Any]) -> None:
    check_features(policy, policy_kwargs, space)


@pytest.mark.parametrize(
    ("policy", "space", "policy_kwargs", "message"),
    [
        (CnnPolicy, BOX, {}, r"CnnPolicy serves images.*Box\(-1.*Use 'MlpPolicy'"),
        (CnnPolicy, DISCRETE, {}, r"CnnPolicy serves images.*Discrete\(3\).*Use 'MlpPolicy'"),
        (CnnPolicy, DICT, {}, r"CnnPolicy serves images.*Use 'MultiInputPolicy'"),
        (CnnPolicy, spaces.Box(-1, 1, (3, 36, 36)), {}, r"normalize_images=False"),
        (CnnPolicy, image(3, 35, 36), {}, r"36 by 36 pixels or more, but the observation has .* 35 by 36.*ResizeObservation"),
        (CnnPolicy, spaces.Box(0, 1, (48, 48, 3)), NOT_SCALED, r"has 48 channels of 48 by 3.*If its channels come last"),
        (MultiInputPolicy, spaces.Dict(a=BOX, b=image(3, 7, 7)), {}, r"the observation 'b' has 3 channels of 7 by 7.*linear"),
        (MultiInputPolicy, spaces.Dict(a=IMAGE, b=image(1, 40, 20)), {}, r"the observation 'b' has 1 channels of 40 by 20"),
        (MultiInputPolicy, spaces.Dict(a=spaces.Box(0, 1, (1, 8, 8))), NOT_SCALED, r"'a' has 1 channels of 8 by 8"),
        (MultiInputPolicy, spaces.Dict(a=spaces.Box(0, 1, (48, 48, 3))), NOT_SCALED, r"'a'.*If its channels come last"),
        (
            MultiInputPolicy,
            spaces.Dict(a=spaces.Box(0, 1, (1, 8, 8))),
            {"features_extractor_kwargs": {"normalized_image": True}},
            "'a' has 1 channels of 8 by 8",
        ),
        (MlpPolicy, BOX, {"features_extractor_class": NatureCNN}, "MlpPolicy serves images"),
        (MultiInputPolicy, BOX, {}, r"MultiInputPolicy serves Dict.*Use 'CnnPolicy' for images, else 'MlpPolicy'"),
        (MlpPolicy, DICT, {}, "MlpPolicy does not serve Dict.*MultiInputPolicy.*linear"),
        (ActorCriticPolicy, DICT, {}, "ActorCriticPolicy does not serve Dict"),
        (LinearSoftmaxPolicy, DICT, {"features_extractor_class": FlattenExtractor}, "does not serve Dict"),
    ],
)
def test_features_that_do_not(policy: Any, space: spaces.Space, policy_kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_features(policy, policy_kwargs, space)


def test_episodes_that_do_not_end() -> None:
    check_that_episodes_end(99, 100)
    with pytest.raises(RuntimeError, match=r"within 100 timesteps.*TimeLimit.*raise max_episode_steps"):
        check_that_episodes_end(100, 100)


# The advice, followed


class Grid(gym.Env[Any, int]):
    """A small picture of a grid, a direction and a mission in words, as in MiniGrid; episodes of three steps."""

    def __init__(self, shape: tuple[int, ...] = (7, 7, 3), mission: spaces.Space | None = None) -> None:
        parts = {"direction": spaces.Discrete(4), "image": image(*shape), "mission": mission or Mission()}
        self.observation_space = spaces.Dict(parts)
        self.action_space = spaces.Discrete(2)  # type: ignore[assignment]

    def _obs(self) -> dict[str, Any]:
        return {key: space.sample() for key, space in self.observation_space.items()}  # type: ignore[attr-defined]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self._obs(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        return self._obs(), 1.0, self.time == 3, False, {}


class Mission(spaces.Space[str]):
    """A space of the environment's own, without shape or type."""

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        return "get the key"

    def contains(self, x: Any) -> bool:
        return isinstance(x, str)


@pytest.mark.parametrize("mission", [Mission(), spaces.Text(20), spaces.Sequence(spaces.Discrete(3))])
@pytest.mark.parametrize("algorithm", [REINFORCE, RandomWeightSearch])
def test_a_part_that_is_no_number_is_named_when_the_model_is_made(algorithm: Any, mission: spaces.Space) -> None:
    for env in (Grid(mission=mission), lambda: Grid(mission=mission)):
        with pytest.raises(ValueError, match="but 'mission' is ") as error:
            algorithm("LinearSoftmaxPolicy", env() if callable(env) else env)
    advice = re.search(r"FilterObservation\(env, (\[.*?\])\)\. Use a linear policy", str(error.value))
    env = gym.wrappers.FilterObservation(Grid(mission=mission), ast.literal_eval(advice[1]))  # type: ignore[index]
    algorithm("LinearSoftmaxPolicy", env).learn(10)
    algorithm("MlpPolicy", gym.wrappers.FlattenObservation(env)).learn(10)


@pytest.mark.parametrize("shape", [(7, 7, 3), (3, 7, 7), (35, 80, 1)])
def test_a_small_image_of_a_dict_is_named_when_the_model_is_made(shape: tuple[int, ...]) -> None:
    env = gym.wrappers.FilterObservation(Grid(shape), ["image", "direction"])
    with pytest.raises(ValueError, match=r"but the observation 'image' has . channels of .*Use a linear policy"):
        REINFORCE("MultiInputPolicy", env)
    REINFORCE("LinearSoftmaxPolicy", env).learn(10)
    REINFORCE("MlpPolicy", gym.wrappers.FlattenObservation(env)).learn(10)


@pytest.mark.parametrize("shape", [(48, 40, 3), (3, 48, 40)])
def test_a_large_image_of_a_dict_is_served(shape: tuple[int, ...]) -> None:
    env = gym.wrappers.FilterObservation(Grid(shape), ["image", "direction"])
    REINFORCE("MultiInputPolicy", env, n_episodes=2).learn(6)


def test_a_small_image_may_be_enlarged() -> None:
    env = gym.wrappers.TransformObservation(Grid(), lambda obs: obs["image"], image(7, 7, 3))
    with pytest.raises(ValueError, match=r"ResizeObservation\(env, \(84, 84\)\)"):
        REINFORCE("CnnPolicy", env)
    REINFORCE("CnnPolicy", gym.wrappers.ResizeObservation(env, (84, 84)), n_episodes=2).learn(6)


def test_images_that_mix_the_order_of_their_channels_are_named() -> None:
    env = Grid((3, 40, 40), mission=image(40, 40, 3))
    with pytest.raises(ValueError, match=r"'image' has them first, the observation 'mission' has them last"):
        REINFORCE("MultiInputPolicy", env)


@pytest.mark.parametrize(
    "env",
    [
        lambda: gym.wrappers.TransformAction(Grid(mission=DISCRETE), lambda action: 0, spaces.Box(-np.inf, np.inf, (1,))),
        lambda: gym.wrappers.TransformAction(Grid(mission=DISCRETE), lambda action: 0, spaces.Tuple([DISCRETE])),
        lambda: gym.wrappers.TransformObservation(Grid(), lambda obs: obs, spaces.Dict(a=spaces.Tuple([BOX, BOX]))),
    ],
)
@pytest.mark.parametrize("algorithm", [REINFORCE, RandomWeightSearch])
def test_sb3_does_not_get_to_say_what_it_can_not_do(algorithm: Any, env: Any) -> None:
    with pytest.raises(ValueError, match="must"):
        algorithm("MlpPolicy", env())
