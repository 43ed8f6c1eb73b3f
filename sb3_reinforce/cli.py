"""The command line: ``python -m sb3_reinforce train``, ``enjoy`` and ``compare``."""

import argparse
import importlib
import json
import pathlib
import pickle
import secrets
import sys
import time
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback, ProgressBarCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor

from sb3_reinforce.common.callbacks import EpisodeDurationCallback, environment_reward_threshold
from sb3_reinforce.common.saving import write_atomically
from sb3_reinforce.compare.cli import add_arguments as add_compare_arguments
from sb3_reinforce.compare.cli import compare_command
from sb3_reinforce.random_weight_search import RandomWeightSearch
from sb3_reinforce.reinforce import REINFORCE
from sb3_reinforce.vec_env import make_fast_vec_env
from sb3_reinforce.zoo import ALGORITHMS

N_EVAL_EPISODES = 100
VIDEO_SUFFIXES = (".mp4", ".gif")


class CliError(Exception):
    """Something the user asked for can't be done; the message says it in one line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CliError(message)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, but got '{text}'")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdigit() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2**32 - 1, but got '{text}'")
    return int(text)


def _build_parser() -> _Parser:
    parser = _Parser(prog="python -m sb3_reinforce", description="Train and play REINFORCE and RandomWeightSearch.")
    commands = parser.add_subparsers(dest="command", metavar="{train,enjoy,compare}")
    train = commands.add_parser("train", help="train a model, evaluate it, and leave everything in a folder")
    train.add_argument("--algo", choices=ALGORITHMS, default="reinforce", help="default: reinforce")
    train.add_argument("--env", default="CartPole-v1", help="a registered Gymnasium environment (default: CartPole-v1)")
    train.add_argument("--timesteps", type=_positive, help="environment steps to train on (default: the algorithm's)")
    train.add_argument("--seed", type=_seed, default=0, help="default: 0")
    train.add_argument("--n-envs", type=_positive, default=1, help="parallel environments (default: 1)")
    train.add_argument("--fast", action="store_true", help="use the fastest vectorised environments there are")
    train.add_argument("--output", type=pathlib.Path, help="default: a new folder under logs/")
    train.set_defaults(run=train_command)
    enjoy = commands.add_parser("enjoy", help="play a trained model")
    enjoy.add_argument("model", type=pathlib.Path, help="a model file, or the folder that train left")
    enjoy.add_argument("--env", help="default: what the model was trained on, if its folder still says so")
    enjoy.add_argument("--render", choices=("human", "rgb_array"), help="default: human, or rgb_array with --video")
    enjoy.add_argument("--video", type=pathlib.Path, metavar="FILE", help=f"write a video ({' or '.join(VIDEO_SUFFIXES)})")
    enjoy.add_argument("--episodes", type=_positive, default=3, help="default: 3")
    enjoy.add_argument("--seed", type=_seed, help="default: a new one each time")
    enjoy.set_defaults(run=enjoy_command)
    compare = commands.add_parser("compare", help="train many algorithms with many seeds, and report which is better")
    add_compare_arguments(compare, _positive, _seed)
    compare.set_defaults(run=compare_command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    :param argv: The arguments; by default those of the process.
    :return: Exit status: 0, 2 for something that can't be done, or 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments.insert(0, "train")
    try:
        options = _build_parser().parse_args(arguments)
        options.run(options)
    except (CliError, ImportError, ValueError, RuntimeError, ArithmeticError, OSError, gym.error.Error) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    return 0


def _require_extra(*modules: str) -> None:
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise CliError(f"this needs the package '{module}': pip install \"sb3-reinforce[extra]\"") from error


def _make_env(env_id: str, render_mode: str | None = None) -> gym.Env[Any, Any]:
    try:
        # Not every environment knows of render modes
        return gym.make(env_id) if render_mode is None else gym.make(env_id, render_mode=render_mode)
    except (gym.error.Error, ImportError, ValueError, TypeError) as error:
        raise CliError(f"environment '{env_id}' can't be made: {error}") from error


def _choose_policy(algo: str, env: VecEnv) -> str:
    """The plainest policy that may do; for Box actions, which are seldom linear in what is observed, a network."""
    if algo == "reinforce" and isinstance(env.observation_space, spaces.Dict):
        return "MultiInputPolicy"
    if algo == "reinforce" and is_image_space(env.observation_space):
        return "CnnPolicy"
    return "MlpPolicy" if isinstance(env.action_space, spaces.Box) else "LinearSoftmaxPolicy"


def _output_folder(options: argparse.Namespace) -> pathlib.Path:
    if options.output is None:
        parent, name = pathlib.Path("logs") / options.algo, options.env.replace("/", "-")
        run = 1
        while (parent / f"{name}_{run}").exists():
            run += 1
        folder = parent / f"{name}_{run}"
    else:
        folder = options.output
        if (folder / "model.zip").exists():
            raise CliError(f"--output '{folder}' already holds a model; choose another folder, or remove it first")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def train_command(options: argparse.Namespace) -> None:
    """
    Train, evaluate, and leave everything in a folder.

    :param options: As parsed.
    """
    _require_extra("rich", "tqdm", "matplotlib", "pandas")
    from rich.console import Console

    console = Console()
    model, policy = _make_model(options)
    folder = _output_folder(options)
    inner_env = _env_of(model)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The environment is already wrapped with a `Monitor`")
        env = VecMonitor(inner_env, str(folder / "monitor.csv"))
    model.set_env(env)
    model.set_logger(configure(str(folder), ["csv", "tensorboard"]))
    console.print(
        f"Training [bold]{type(model).__name__}[/bold] ({policy}) on [bold]{options.env}[/bold], seed {options.seed}, "
        f"{options.n_envs} x {getattr(inner_env, 'backend', 'sb3 (DummyVecEnv)')}"
    )
    seconds = _train(model, options.timesteps, EpisodeDurationCallback(), console)
    model.logger.close()
    model.save(folder / "model.zip")
    with console.status(f"Evaluating on {N_EVAL_EPISODES} fresh episodes"):
        evaluation = _evaluate(model, options, policy, seconds)
    write_atomically(folder / "evaluation.json", (json.dumps(evaluation, indent=2) + "\n").encode())
    _save_figure(folder, f"{type(model).__name__} ({policy}) on {options.env}, seed {options.seed}", console)
    _print_table(evaluation, folder, console)
    env.close()


def _make_model(options: argparse.Namespace) -> tuple[REINFORCE | RandomWeightSearch, str]:
    """The model, untrained, and the name of its policy. Nothing has been written yet."""
    env: VecEnv
    if options.fast:
        _make_env(options.env).close()  # its errors are in one line
        env = make_fast_vec_env(options.env, options.n_envs, options.seed)
    else:
        env = DummyVecEnv([lambda: _make_env(options.env) for _ in range(options.n_envs)])
    policy = _choose_policy(options.algo, env)
    try:
        return ALGORITHMS[options.algo](policy, env, seed=options.seed), policy
    except AssertionError as error:  # how SB3 refuses a space
        raise CliError(f"{options.algo} can't be trained on '{options.env}': {error}") from error


def _env_of(model: REINFORCE | RandomWeightSearch) -> VecEnv:
    env = model.get_env()
    assert env is not None
    return env


def _train(model: REINFORCE | RandomWeightSearch, timesteps: int | None, callback: BaseCallback, console: Any) -> float:
    """Train; return the seconds it took. Ctrl-C ends training early, and keeps what was learned."""
    start = time.perf_counter()
    budget = {} if timesteps is None else {"total_timesteps": timesteps}
    bar = _ProgressBar()
    try:
        model.learn(**budget, callback=[callback, bar])  # type: ignore[arg-type]
    except KeyboardInterrupt:
        bar.close()
        console.print("[yellow]Stopped early; what was learned so far is kept.[/yellow]")
    finally:
        bar.close()
    return time.perf_counter() - start


class _ProgressBar(ProgressBarCallback):
    """SB3's progress bar, which also gives the terminal back when training breaks off."""

    def close(self) -> None:
        if hasattr(self, "pbar"):
            self.pbar.close()


def _evaluate(
    model: REINFORCE | RandomWeightSearch, options: argparse.Namespace, policy: str, seconds: float
) -> dict[str, Any]:
    n_envs = 10
    env = DummyVecEnv([lambda: Monitor(_make_env(options.env)) for _ in range(n_envs)])
    env.seed(options.seed + 1_000_003)  # far from the training seeds, which count up from options.seed
    threshold = environment_reward_threshold(env)
    returns, lengths = evaluate_policy(model, env, N_EVAL_EPISODES, deterministic=True, return_episode_rewards=True)
    env.close()
    mean = float(np.mean(returns))
    return {
        "algo": options.algo,
        "env": options.env,
        "policy": policy,
        "seed": options.seed,
        "n_envs": options.n_envs,
        "timesteps": model.num_timesteps,
        "training_seconds": round(seconds, 3),
        "n_eval_episodes": N_EVAL_EPISODES,
        "deterministic": True,
        "mean_reward": mean,
        "std_reward": float(np.std(returns)),
        "mean_ep_length": float(np.mean(lengths)),
        "reward_threshold": threshold,
        "solved": None if threshold is None else mean >= threshold,
        "returns": [float(value) for value in returns],  # type: ignore[union-attr]
        "lengths": [int(value) for value in lengths],  # type: ignore[union-attr]
    }


def _save_figure(folder: pathlib.Path, title: str, console: Any) -> None:
    from sb3_reinforce.common.plots import save_learning_curve

    try:
        save_learning_curve(folder, folder / "learning_curve.png", title)
    except ValueError as error:
        console.print(f"[yellow]No learning curve: {error}[/yellow]")


def _print_table(evaluation: dict[str, Any], folder: pathlib.Path, console: Any) -> None:
    from rich.table import Table

    table = Table(title=f"{evaluation['algo']} on {evaluation['env']}", show_header=False, title_justify="left")
    steps, seconds = evaluation["timesteps"], evaluation["training_seconds"]
    table.add_row("Training", f"{steps:,} timesteps in {seconds:.1f} s ({steps / max(seconds, 1e-3):,.0f} a second)")
    table.add_row(
        f"Mean return, {evaluation['n_eval_episodes']} fresh episodes",
        f"{evaluation['mean_reward']:.2f} ± {evaluation['std_reward']:.2f}",
    )
    table.add_row("Mean length", f"{evaluation['mean_ep_length']:.1f}")
    if evaluation["solved"] is not None:
        answer = "[green]yes[/green]" if evaluation["solved"] else "[red]no[/red]"
        table.add_row(f"Solved (threshold {evaluation['reward_threshold']:g})", answer)
    console.print(table)
    console.print(f"Everything is in {folder}: tensorboard --logdir {folder}", soft_wrap=True)
    console.print(f"To see it play: python -m sb3_reinforce enjoy {folder}", soft_wrap=True)


def _model_file(path: pathlib.Path) -> pathlib.Path:
    for candidate in (path / "model.zip", path, pathlib.Path(f"{path}.zip")):
        if candidate.is_file():
            return candidate
    raise CliError(f"there is no model at '{path}'")


def _read_saved(path: pathlib.Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
            if broken is not None:
                raise ValueError(f"{broken} in it can't be read")
            saved = json.loads(archive.read("data"))
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, NotImplementedError) as error:
        raise CliError(f"'{path}' is not a saved model, or is damaged: {error}") from error
    return saved if isinstance(saved, dict) else {}


def _algorithm_of(path: pathlib.Path) -> type[REINFORCE] | type[RandomWeightSearch]:
    saved = _read_saved(path)
    if "weight_scale" in saved:
        return RandomWeightSearch
    if "baseline" in saved:
        return REINFORCE
    raise CliError(f"'{path}' was saved by neither of {', '.join(ALGORITHMS)}")


def _environment_of(path: pathlib.Path) -> str:
    try:
        return str(json.loads((path.parent / "evaluation.json").read_text())["env"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CliError(f"nothing beside '{path}' says what environment it plays; name it with --env") from error


def _load(algorithm: type[REINFORCE] | type[RandomWeightSearch], path: pathlib.Path, env: VecEnv) -> Any:
    try:
        return algorithm.load(path, env=env, device="cpu")
    except (AttributeError, KeyError, TypeError, EOFError, ImportError, pickle.UnpicklingError) as error:
        raise CliError(f"'{path}' can't be loaded, it may be damaged or of another version: {error}") from error


def enjoy_command(options: argparse.Namespace) -> None:
    """
    Play a trained model, on the screen or into a video.

    :param options: As parsed.
    """
    path = _model_file(options.model)
    algorithm = _algorithm_of(path)
    env_id = options.env or _environment_of(path)
    if options.video is not None:
        if options.video.suffix.lower() not in VIDEO_SUFFIXES:
            raise CliError(f"--video must end in {' or '.join(VIDEO_SUFFIXES)}, but got '{options.video}'")
        if options.render == "human":
            raise CliError("--video needs --render rgb_array")
        _require_extra("imageio", *(["imageio_ffmpeg"] if options.video.suffix.lower() == ".mp4" else []))
    render_mode = options.render or ("human" if options.video is None else "rgb_array")
    env = DummyVecEnv([lambda: Monitor(_make_env(env_id, render_mode))])
    if env.render_mode != render_mode:
        raise CliError(f"environment '{env_id}' can't be rendered in the mode {render_mode}")
    model = _load(algorithm, path, env)
    # load() has seeded NumPy's global generator, from which env.seed(None) would draw
    env.seed(secrets.randbits(32) if options.seed is None else options.seed)
    try:
        if options.video is None:
            for _ in _play(model, options.episodes):
                pass
        else:
            _write_video(options.video, _play(model, options.episodes), env)
    except KeyboardInterrupt:
        print("Stopped.")
    finally:
        env.close()


def _play(model: REINFORCE | RandomWeightSearch, n_episodes: int) -> Iterator[np.ndarray]:
    """Play greedily; yield each frame, and say how each episode went."""
    env = _env_of(model)
    obs = env.reset()
    for episode in range(n_episodes):
        done = False
        while not done:
            if env.render_mode == "rgb_array":
                yield env.get_images()[0]  # type: ignore[misc]
            action, _ = model.predict(obs, deterministic=True)  # type: ignore[arg-type]
            obs, _, dones, infos = env.step(action)
            done = dones[0]
        info = infos[0]["episode"]
        print(f"Episode {episode + 1} finished after {info['l']} timesteps, return {info['r']:g}")


def _write_video(path: pathlib.Path, frames: Iterator[np.ndarray], env: VecEnv) -> None:
    """Frame by frame, so that long videos need no memory; the file takes its place when it is whole."""
    import imageio.v2 as imageio

    fps = int(env.get_attr("metadata")[0].get("render_fps", 30))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    is_gif = path.suffix.lower() == ".gif"
    how: dict[str, Any] = {"duration": 1000 / fps, "loop": 0} if is_gif else {"fps": fps, "macro_block_size": 2}
    try:
        with imageio.get_writer(temporary, **how) as writer:
            for frame in frames:
                writer.append_data(frame)  # type: ignore[attr-defined]
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    print(f"Video: {path}")
