"""What is in the files of models, and that nothing of it is run."""

import io
import json
import pathlib
import pickle
import resource
import sys
import zipfile
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from sb3_reinforce import REINFORCE, EpsilonSchedule, FourierBasis, RandomWeightSearch
from sb3_reinforce.common.archives import DamagedFileError, UntrustedFileError
from sb3_reinforce.common.model_files import PLAIN, read_model_file
from tests.common.forged import Poison, as_sb3_pickles, members_of, mutations, saved, tensors, zipped

CARTPOLE = "CartPole-v1"
OBS = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
OLD = pathlib.Path(__file__).parent / "files_of_0_1_0"


def assert_plays_the_same(mine: Any, theirs: Any) -> None:
    np.testing.assert_array_equal(mine.predict(OBS, deterministic=True)[0], theirs.predict(OBS, deterministic=True)[0])


# What is plain


MODELS: dict[str, Callable[[], Any]] = {
    "linear": lambda: REINFORCE("LinearSoftmaxPolicy", CARTPOLE, baseline="linear", seed=0),
    "epsilon": lambda: REINFORCE("MlpPolicy", CARTPOLE, epsilon=EpsilonSchedule(0.3), seed=np.int64(0)),  # type: ignore[arg-type]
    "parts of torch": lambda: REINFORCE(
        "MlpPolicy",
        CARTPOLE,
        policy_kwargs={"activation_fn": nn.ELU, "optimizer_class": th.optim.SGD, "net_arch": {"pi": [8], "vf": []}},
    ),
    "parts of SB3": lambda: REINFORCE(
        ActorCriticPolicy, CARTPOLE, policy_kwargs={"features_extractor_class": FlattenExtractor}
    ),
    "parts of ours": lambda: REINFORCE(
        "LinearSoftmaxPolicy",
        CARTPOLE,
        policy_kwargs={"features_extractor_class": FourierBasis, "features_extractor_kwargs": {"order": 1}},
    ),
    "search": lambda: RandomWeightSearch("MlpPolicy", CARTPOLE, seed=0),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("steps", [0, 300])
def test_what_models_are_usually_made_of_needs_no_trust(name: str, steps: int) -> None:
    model = MODELS[name]()
    if steps:
        model.learn(steps)
    content = saved(model)
    file = read_model_file(io.BytesIO(content))
    assert not file.not_plain
    loaded = type(model).load(io.BytesIO(content), env=gym.make(CARTPOLE))
    assert_plays_the_same(loaded, model)
    for attribute in file.plain:
        assert type(getattr(loaded, attribute)) is type(getattr(model, attribute)) or attribute == "_last_obs"
    assert loaded.learn(100, reset_num_timesteps=False).num_timesteps >= model.num_timesteps


def test_attributes_that_are_numbers_texts_and_arrays_are_kept(tmp_path: pathlib.Path) -> None:
    model: Any = REINFORCE("LinearSoftmaxPolicy", CARTPOLE, tensorboard_log=str(tmp_path))
    model.note = {"of mine": [1, (2.5, None)], 3: np.arange(4)}
    loaded: Any = REINFORCE.load(io.BytesIO(saved(model)))
    np.testing.assert_array_equal(loaded.note.pop(3), np.arange(4))
    assert loaded.note == {"of mine": [1, (2.5, None)]}
    assert loaded.tensorboard_log == str(tmp_path)


# What is not


class Zeros:
    def __call__(self, observations: Any, timesteps: np.ndarray) -> np.ndarray:
        return np.zeros(len(timesteps))


class OwnPolicy(ActorCriticPolicy):
    pass


class OwnExtractor(FlattenExtractor):
    pass


EXTRACTOR = {"features_extractor_class": OwnExtractor}
OWN: dict[str, tuple[Any, dict[str, Any], str, dict[str, Any]]] = {
    "learning_rate": ("MlpPolicy", {"learning_rate": lambda _: 0.01}, "learning_rate", {"learning_rate": 0.1}),
    "epsilon": ("MlpPolicy", {"epsilon": lambda left: 0.1 * left}, "epsilon", {"epsilon": 0.1}),
    "baseline": ("MlpPolicy", {"baseline": Zeros()}, "baseline", {"baseline": "time"}),
    "policy": (OwnPolicy, {}, "policy_class", {"policy_class": OwnPolicy}),
    "features": (
        "MlpPolicy",
        {"policy_kwargs": EXTRACTOR},
        r"policy_kwargs\['features_extractor_class'\]",
        {"policy_kwargs": EXTRACTOR},
    ),
}


@pytest.mark.parametrize("part", OWN)
def test_what_is_the_users_own_is_named_and_needs_trust(part: str) -> None:
    policy, arguments, name, anew = OWN[part]
    model = REINFORCE(policy, CARTPOLE, seed=0, **arguments)
    content = saved(model)
    with pytest.raises(UntrustedFileError, match=rf"only a pickle can hold: {name} \([\w.<>]+\)\..* trusted=True .*--trusted"):
        REINFORCE.load(io.BytesIO(content))
    assert_plays_the_same(REINFORCE.load(io.BytesIO(content), trusted=True), model)
    for given in ({"custom_objects": anew}, anew):
        loaded = REINFORCE.load(io.BytesIO(content), **given)
        assert_plays_the_same(loaded, model)
        assert {key: getattr(loaded, key) for key in anew} == anew


def test_all_such_parts_are_named() -> None:
    model = REINFORCE(OwnPolicy, CARTPOLE, baseline=Zeros(), learning_rate=lambda _: 0.1)
    with pytest.raises(UntrustedFileError, match=r"baseline \(.*\), learning_rate \(.*\), policy_class \(.*OwnPolicy\)\. "):
        REINFORCE.load(io.BytesIO(saved(model)))


# Files of others


@pytest.mark.parametrize("name", ["reinforce", "random_weight_search"])
def test_files_of_0_1_0_load_where_they_are_trusted(name: str, tmp_path: pathlib.Path) -> None:
    cls: Any = {"reinforce": REINFORCE, "random_weight_search": RandomWeightSearch}[name]
    with pytest.raises(UntrustedFileError, match=r"policy_class.*A file of SB3 or of version 0\.1\.0 .* saved again"):
        cls.load(OLD / name)
    model = cls.load(OLD / name, env=gym.make(CARTPOLE), trusted=True)
    if name == "reinforce":
        assert model.epsilon == EpsilonSchedule(0.5, 0.05, 0.01)
        assert model.policy_kwargs["features_extractor_class"] is FourierBasis
        assert model._linear_baseline.coefficients[0] == pytest.approx(-4.13415834)
        assert model.predict(OBS, deterministic=True)[0].nonzero()[0].tolist() == [1, 10, 11, 19, 21, 29, 42]
    else:
        assert model.best_mean_reward == 154.0
        assert model.predict(OBS)[0].sum() == 25
    model.learn(200, reset_num_timesteps=False).save(tmp_path / "again")
    assert_plays_the_same(cls.load(tmp_path / "again"), model)


def test_sb3_reads_our_files_as_its_own() -> None:
    model = REINFORCE("MlpPolicy", CARTPOLE, seed=0, learning_rate=lambda _: 0.1)
    data, parameters, variables = load_from_zip_file(io.BytesIO(saved(model)))
    assert data is not None
    assert data["policy_class"] is model.policy_class
    assert data["learning_rate"](1.0) == 0.1
    assert data["observation_space"] == model.observation_space
    assert parameters.keys() == {"policy", "policy.optimizer"}
    assert not variables
    for algorithm in (PPO, A2C):
        loaded = algorithm("MlpPolicy", CARTPOLE, device="cpu", policy_kwargs={"optimizer_class": th.optim.Adam})
        loaded.set_parameters(io.BytesIO(saved(model)))  # type: ignore[arg-type]
        assert_plays_the_same(loaded, model)


# Hostile files. Each place of a file gets a poisoned pickle, and more that a file could do


MODEL = REINFORCE("LinearSoftmaxPolicy", CARTPOLE, seed=0, epsilon=EpsilonSchedule()).learn(100)
CONTENT = members_of(saved(MODEL))


def with_data(change: Callable[[dict[str, Any]], None]) -> dict[str, bytes]:
    data = json.loads(CONTENT["data"])
    change(data)
    return {**CONTENT, "data": json.dumps(data).encode()}


def with_plain(change: Callable[[dict[str, Any]], None]) -> dict[str, bytes]:
    plain = json.loads(CONTENT[PLAIN])
    change(plain["attributes"])
    return {**CONTENT, PLAIN: json.dumps(plain).encode()}


def loads_or_is_refused(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bool:
    content = zipped(members, compression)
    for env in (None, gym.make(CARTPOLE)):
        try:
            loaded = REINFORCE.load(io.BytesIO(content), env=env)
        except (DamagedFileError, UntrustedFileError):
            return False
        assert_plays_the_same(loaded, MODEL)
    return True


@pytest.fixture
def poison(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Fails the test if it has done something, or anything else has been written."""
    monkeypatch.chdir(tmp_path)
    yield Poison(tmp_path / "poisoned")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", json.loads(CONTENT["data"]))
def test_a_poisoned_attribute_that_is_plain_too_is_never_read(name: str, poison: Poison) -> None:
    assert loads_or_is_refused(with_data(lambda data: data.update({name: as_sb3_pickles(poison)})))


@pytest.mark.parametrize("name", ["policy_class", "observation_space", "learning_rate", "_last_obs", "seed", "of_mine"])
def test_a_poisoned_attribute_that_is_not_plain_is_refused(name: str, poison: Poison) -> None:
    members = with_plain(lambda plain: plain.pop(name, None))
    data = json.loads(members["data"]) | {name: as_sb3_pickles(poison)}
    members["data"] = json.dumps(data).encode()
    with pytest.raises(UntrustedFileError, match=name):
        REINFORCE.load(io.BytesIO(zipped(members)))


def test_the_poison_works_where_it_is_trusted(tmp_path: pathlib.Path) -> None:
    members = with_data(lambda data: data.update(of_mine=as_sb3_pickles(Poison(tmp_path / "poisoned"))))
    REINFORCE.load(io.BytesIO(zipped(members)), trusted=True)
    assert (tmp_path / "poisoned").is_dir()


@pytest.mark.parametrize("name", [name for name in CONTENT if not name.startswith("_")])
@pytest.mark.parametrize("how", ["pickle", "torch", "old torch"])
def test_a_poisoned_member(name: str, how: str, poison: Poison) -> None:
    ways = {
        "pickle": pickle.dumps,
        "torch": lambda value: tensors({"a": value}),
        "old torch": lambda value: tensors({"a": value}, _use_new_zipfile_serialization=False),
    }
    assert loads_or_is_refused({**CONTENT, name: ways[how](poison)}) == (name == "system_info.txt")


SLIPS = ["evil", "../evil", "/tmp/evil", "..\\evil", "policy.pth/evil"]


@pytest.mark.parametrize("name", SLIPS)
def test_more_members(name: str, poison: Poison) -> None:
    assert loads_or_is_refused({**CONTENT, f"{name}.pkl": pickle.dumps(poison)})
    assert not loads_or_is_refused({**CONTENT, f"{name}.pth": pickle.dumps(poison)})
    with pytest.raises(ValueError, match=r"The parameters are those of .*evil.*, but a REINFORCE has those of"):
        REINFORCE.load(io.BytesIO(zipped({**CONTENT, f"{name}.pth": CONTENT["policy.pth"]})))


NAMES = [
    "os.system",
    "evil.Policy",
    "evil",
    "torch.hub.load",
    "torch.nn.Module.apply",
    "torch.nn.functional",
    "torch.nn.modules.activation.ReLU",
    "torch.optim.lr_scheduler",
    "torch.optim.Adam",
    "torch.nn.ReLU",
    "stable_baselines3.common.policies.th",
    "stable_baselines3.common.policies.ActorCriticPolicy.load",
    "sb3_reinforce.policies.DENSE_POLICIES",
    "sb3_reinforce.policies.__builtins__",
    "",
    ".",
    "..",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_classes_that_are_no_policies(name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert not loads_or_is_refused(with_plain(lambda plain: plain.update(policy_class={"__kind__": "class", "name": name})))
    assert "evil" not in sys.modules


@pytest.mark.parametrize("name", ["predict", "load", "learn", "_setup_model", "__class__", "__reduce_ex__"])
def test_attributes_that_would_hide_methods(name: str) -> None:
    assert not loads_or_is_refused(with_plain(lambda plain: plain.update({name: 1})))


TORCH_CLASS = {"__kind__": "class", "name": "torch.nn.ReLU"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_timesteps", "many"),
        ("num_timesteps", -1),
        ("num_timesteps", None),
        ("_n_updates", True),
        ("_episode_num", {"__kind__": "tuple", "items": []}),
        ("policy_class", None),
        ("policy_kwargs", None),
        ("policy_kwargs", {"features_extractor_class": TORCH_CLASS}),
        ("policy_kwargs", {"optimizer_class": TORCH_CLASS}),
        ("policy_kwargs", {"of_mine": 1}),
        ("observation_space", 3),
        ("action_space", {"__kind__": "Discrete", "n": 3, "start": 0, "dtype": "<i8"}),
        ("verbose", "loud"),
        ("policy_aliases", 3),
        ("is_resumable", "yes"),
        ("gamma", 2.0),
        ("n_episodes", 0),
        ("epsilon", TORCH_CLASS),
        ("ep_info_buffer", {"__kind__": "deque", "items": [{}], "maxlen": 100}),
        ("ep_info_buffer", 3),
    ],
)
def test_attributes_that_can_not_be(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        REINFORCE.load(io.BytesIO(zipped(with_plain(lambda plain: plain.update({name: value})))))


# Small files that would fill the memory


def deep(n: int) -> bytes:
    return b"[" * n + b"]" * n


HUGE: dict[str, Callable[[], dict[str, bytes]]] = {
    "layers": lambda: with_plain(lambda plain: plain.update(policy_kwargs={"net_arch": [100_000, 100_000, 100_000]})),
    "a layer": lambda: with_plain(lambda plain: plain.update(policy_kwargs={"net_arch": [10**15]})),
    "a space": lambda: with_plain(
        lambda plain: plain.update(observation_space={"__kind__": "Discrete", "n": 10**9, "start": 0, "dtype": "<i8"})
    ),
    "actions": lambda: with_plain(lambda plain: plain.update(action_space={"__kind__": "MultiBinary", "n": 10**9})),
    "environments": lambda: with_plain(lambda plain: plain.update(n_envs=10**9)),
    "episodes": lambda: with_plain(lambda plain: plain.update(n_episodes=10**9)),
    "depth": lambda: {**CONTENT, PLAIN: b'{"attributes": {"x": ' + deep(100_000) + b'}, "not_plain": {}}'},
    "depth of data": lambda: {**CONTENT, "data": deep(100_000)},
    "a tensor": lambda: {**CONTENT, "policy.pth": tensors({"action_net.weight": th.zeros(1).expand(2, 10**9)})},
    "a tensor of ints": lambda: {
        **CONTENT,
        "policy.optimizer.pth": tensors({"state": {0: {"step": th.zeros(1).int().expand(10**10)}}, "param_groups": []}),
    },
    "lists": lambda: {**CONTENT, "policy.pth": tensors(doubled(60))},
}


def doubled(n: int) -> list[Any]:
    """A list of 2**n numbers, and of n lists."""
    value: list[Any] = [1, 1]
    for _ in range(n):
        value = [value, value]
    return value


@pytest.mark.parametrize("what", HUGE)
def test_a_small_file_takes_little_memory(what: str) -> None:
    content = zipped(HUGE[what]())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DamagedFileError, match="is not a saved model, or is damaged"):
        REINFORCE.load(io.BytesIO(content))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


@pytest.mark.parametrize("inside", [False, True])
def test_a_file_that_expands_to_more_than_a_hundred_times_its_size(inside: bool) -> None:
    zeros = bytes(100_000_000)
    members = {**members_of(CONTENT["policy.pth"]), "archive/data/0": zeros} if inside else {**CONTENT, "zeros": zeros}
    content = zipped(members, zipfile.ZIP_DEFLATED)
    if inside:
        content = zipped({**CONTENT, "policy.pth": content})
    assert len(content) < 200_000
    with pytest.raises(DamagedFileError, match=r"would expand to 100,[0-9]{3},[0-9]{3} bytes"):
        REINFORCE.load(io.BytesIO(content))


def test_a_compressed_file_loads() -> None:
    assert loads_or_is_refused(CONTENT, zipfile.ZIP_DEFLATED)
    assert not loads_or_is_refused(CONTENT, zipfile.ZIP_LZMA)


# Damaged files


def test_what_a_saved_system_says_is_printed_without_what_moves_a_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    members = {**CONTENT, "system_info.txt": b"- OS: \x1b[2JLinux\n- Python: \xff3"}
    REINFORCE.load(io.BytesIO(zipped(members)), print_system_info=True)
    assert capsys.readouterr().out.endswith("== SAVED MODEL SYSTEM INFO ==\n- OS: [2JLinux\n- Python: \ufffd3\n")


@pytest.mark.parametrize("name", [name for name in CONTENT if name not in ("system_info.txt", "_stable_baselines3_version")])
def test_a_member_that_is_missing(name: str) -> None:
    members = {key: content for key, content in CONTENT.items() if key != name}
    if name == "pytorch_variables.pth":  # there are none in it
        assert loads_or_is_refused(members)
        return
    with pytest.raises(ValueError, match=r"is damaged|only a pickle can hold|The parameters are those of"):
        REINFORCE.load(io.BytesIO(zipped(members)))


def plays(content: bytes) -> bool:
    try:
        REINFORCE.load(io.BytesIO(content)).predict(OBS, deterministic=True)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("seed", range(20))
def test_mutated_files_play_or_are_refused(seed: int) -> None:
    played = [plays(content) for content in mutations(zipped(CONTENT), np.random.default_rng(seed), 10)]
    assert not all(played)
