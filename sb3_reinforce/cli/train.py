"""``sb3-reinforce train``"""

import importlib
import itertools
import json
import time
import warnings
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from stable_baselines3.common.callbacks import BaseCallback, ProgressBarCallback
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from sb3_reinforce.cli.arguments import as_argument, choose_policy, custom_objects_for, read_policy
from sb3_reinforce.cli.environments import environments_of
from sb3_reinforce.cli.errors import CliError, Stopped, Terminated
from sb3_reinforce.cli.evaluating import add_evaluation, evaluate, make_eval_env
from sb3_reinforce.cli.resuming import Checkpoints, ended_by_sigterm, log_episodes, make_logger, remove_checkpoints
from sb3_reinforce.cli.run_folder import new_run_folder
from sb3_reinforce.cli.settings import Plan, read_plan
from sb3_reinforce.cli.shared import Model, env_of, save_where_there_is_room
from sb3_reinforce.common.callbacks import EpisodeDurationCallback
from sb3_reinforce.common.eval_callback import EVALUATIONS, EvalCallbackAtTimesteps
from sb3_reinforce.common.evaluation import CUT_OFF_ADVICE, cut_off_message
from sb3_reinforce.common.extras import needs
from sb3_reinforce.common.normalization_files import write_normalization
from sb3_reinforce.common.saving import write_atomically
from sb3_reinforce.common.tensorboard import EpisodeVideoCallback, log_evaluation, tensorboard_callbacks
from sb3_reinforce.zoo import ALGORITHMS
from sb3_reinforce.zoo.hyperparameters import OF_THE_ZOO, check_policy_kwargs


@ended_by_sigterm()
def main(arguments: Sequence[str]) -> int:
    """
    Train, evaluate, and leave everything in a folder. It goes on from there if it is interrupted.

    :param arguments: Of the command line, after ``train``.
    :return: Exit status.
    :raises CliError: If the environment can't be made or trained on, or there is nothing to go on with.
    :raises ImportError: If a package is missing.
    :raises Stopped: After Ctrl-C in the evaluation.
    :raises Terminated: After SIGTERM; what was learned is saved.
    """
    plan = read_plan(arguments)
    with needs("extra", "sb3-reinforce train"):  # before hours of training
        for package in ("tqdm", "matplotlib", "pandas"):
            importlib.import_module(package)
    Training(plan).run()
    return 0


class Training:
    """
    One training, from what it is begun with to its last line.

    :param plan: What it is begun with.
    :raises CliError: If the environment can't be made or trained on. Nothing has been written then.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.command = plan, plan.command
        self.console = Console(highlight=False)
        self._say_what_was_tuned()
        is_ours = plan.folder is None or self.command.trusted  # and may run what stands in it
        self._checkpoint = None if plan.folder is None else Checkpoints.latest_of(plan.folder.path)
        hyperparameters = plan.hyperparameters
        self.environments = environments_of(self.command.env, hyperparameters, is_ours, in_training=True)
        self.eval_environments = environments_of(self.command.env, hyperparameters, is_ours, in_training=False)
        self.monitors, env = self._make_env()
        self.model = self._make_model(env, is_ours)
        self.folder = plan.folder or new_run_folder(self.command.log_folder, self.command.algo, self.command.env)
        self._write_settings(is_finished=False)

    def run(self) -> None:
        """Train, evaluate, and say what came of it."""
        path, model = self.folder.path, self.model
        log_episodes(self.monitors, path, self.command.env, self._n_bytes_of_logs())
        model.set_logger(make_logger(path, None if self.plan.folder is None else model.num_timesteps))
        self._say_what_begins()
        try:
            self._finish(*self._learn())
        finally:
            model.logger.close()
            env_of(model).close()

    def _finish(self, seconds: float, stop: KeyboardInterrupt | None) -> None:
        """Save, evaluate, and say what came of it. What has ended training early, if anything has, is ``stop``."""
        save_where_there_is_room(self.model, self.folder.model)
        self._save_normalization()
        if stop is None:
            self._write_settings(is_finished=True)
            remove_checkpoints(self.folder.path)
        else:
            self._say("[yellow]Stopped early.[/yellow] What was learned so far is kept. To go on:", self._resume_command)
        if isinstance(stop, Terminated):  # whoever sends it does not wait for long
            raise stop
        try:
            if self.command.n_eval_episodes > 0:
                self._evaluate(seconds, stop)
        finally:
            self._save_figure()
        self._say_where_it_is()

    def _make_env(self) -> tuple[list[Any], VecEnv]:
        n_envs = self.plan.hyperparameters.get("n_envs", 1)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The environment is already wrapped with a `Monitor`")
            if not self.command.fast:
                return self.environments.make(n_envs)
            # EnvPool would repeat the episodes of the same seed, and others are seeded by the model
            monitor = VecMonitor(self.environments.make_fast(n_envs, None if self._checkpoint else self.command.seed))
            return [monitor], self.environments.wrapped_as_one(monitor)

    def _make_model(self, env: VecEnv, is_ours: bool) -> Model:
        """The model, as it is in a checkpoint or untrained."""
        algorithm, algo = ALGORITHMS[self.command.algo], self.command.algo
        arguments = {
            name: as_argument(value, is_ours) for name, value in self.plan.hyperparameters.items() if name not in OF_THE_ZOO
        }
        given = arguments.pop("policy", None)
        name = choose_policy(algo, env) if given is None else given
        self.plan.hyperparameters["policy"] = name
        policy = read_policy(name)
        check_policy_kwargs(arguments.get("policy_kwargs") or {}, policy, algorithm)
        try:
            if self._checkpoint is not None:
                return algorithm.load(
                    self._checkpoint, env, custom_objects=custom_objects_for(policy), trusted=self.command.trusted
                )
            return algorithm(policy, env, seed=self.command.seed, **arguments)
        except AssertionError as error:  # how SB3 refuses a space
            raise CliError(f"{algo} can't be trained on '{self.command.env}': {error}") from error

    def _n_bytes_of_logs(self) -> dict[str, int] | None:
        n_bytes = getattr(self.model, "n_bytes_of_logs", None)
        return n_bytes if isinstance(n_bytes, dict) and self._checkpoint is not None else None

    def _write_settings(self, is_finished: bool) -> None:
        self.folder.write_settings({**self.plan.arguments, "finished": is_finished}, self.plan.hyperparameters)

    def _learn(self) -> tuple[float, KeyboardInterrupt | None]:
        """Train; return the seconds it took, and what has ended it early: Ctrl-C or SIGTERM."""
        start, stop = time.perf_counter(), None
        n_timesteps = self.plan.hyperparameters.get("n_timesteps")
        budget: Any = {} if n_timesteps is None else {"total_timesteps": n_timesteps}
        bar = _ProgressBar()
        callbacks = [*self._callbacks(), bar]
        try:
            if self._checkpoint is not None:
                self.model.resume(callback=callbacks)
            else:
                self.model.learn(**budget, callback=callbacks)
        except KeyboardInterrupt as error:
            stop = error
        finally:
            bar.close()
        return time.perf_counter() - start, stop

    def _callbacks(self) -> list[BaseCallback]:
        command, path = self.command, self.folder.path
        callbacks: list[BaseCallback] = [EpisodeDurationCallback(), Checkpoints(path, command.checkpoint_seconds)]
        callbacks += tensorboard_callbacks(self.model, further={"seed": command.seed})
        if command.video_freq > 0:
            callbacks.append(EpisodeVideoCallback(self._make_rendered_env, command.video_freq))
        if command.eval_freq > 0 and command.n_eval_episodes > 0:
            timesteps = itertools.count(command.eval_freq, command.eval_freq)
            callbacks.append(EvalCallbackAtTimesteps(self._make_eval_env(), timesteps, path, command.n_eval_episodes))
        return callbacks

    def _make_eval_env(self) -> VecEnv:
        return make_eval_env(self.eval_environments, self.command.n_eval_episodes, self._limit(), self.command.seed)

    def _make_rendered_env(self) -> VecEnv:
        return self.eval_environments.make(1, self._limit(), "rgb_array")[1]

    def _limit(self) -> int:
        return self.eval_environments.episode_limit(self.command.max_episode_steps)

    def _evaluate(self, seconds: float, stop: KeyboardInterrupt | None) -> None:
        env = self._make_eval_env()
        try:
            result = evaluate(self.model, env, self.command.n_eval_episodes)
        except KeyboardInterrupt as error:
            if isinstance(error, Terminated):
                raise
            raise Stopped(self._where_after_evaluation(stop)) from error
        finally:
            env.close()
        evaluation = {
            "algo": self.command.algo,
            "env": self.command.env,
            "policy": str(self.plan.hyperparameters["policy"]),
            "seed": self.command.seed,
            "n_envs": self.model.n_envs,
            "timesteps": self.model.num_timesteps,
            "training_seconds": round(seconds, 3),
            "max_episode_steps": self._limit(),
            **result,
        }
        path = self.folder.path
        write_atomically(path / "evaluation.json", (json.dumps(evaluation, indent=2) + "\n").encode())
        log_evaluation(self.model.logger, result["mean_reward"], result["mean_ep_length"], evaluation["timesteps"])
        if stop is None:  # or it would stand among those of the training that goes on
            add_evaluation(path / EVALUATIONS, evaluation["timesteps"], result["returns"], result["lengths"])
        self._print_table(evaluation)

    def _save_normalization(self) -> None:
        """Where the RL Zoo looks for it. Models of ours have it in their own file, too."""
        normalization = self.model.get_vec_normalize_env()
        if normalization is not None:
            normalization.save(str(self.folder.parameters / "vecnormalize.pkl"))
            write_normalization(normalization, self.folder.parameters / "vecnormalize.json")

    def _save_figure(self) -> None:
        from sb3_reinforce.common.plots import save_learning_curve

        try:
            save_learning_curve(self.folder.path, self.folder.path / "learning_curve.png", self._title())
        except ValueError as error:
            self._say(f"[yellow]No learning curve: {error}[/yellow]")

    # What is said

    def _say(self, text: str, command: str | None = None) -> None:
        """A text, and below it a command that can be copied."""
        self.console.print(text)
        if command is not None:
            self.console.print(f"  {command}", soft_wrap=True, markup=False)

    def _title(self) -> str:
        policy = self.plan.hyperparameters["policy"]
        return f"{type(self.model).__name__} ({policy}) on {self.command.env}, seed {self.command.seed}"

    @property
    def _resume_command(self) -> str:
        return f"sb3-reinforce train --resume {self.folder.path}{self._modules()}"

    @property
    def _enjoy_command(self) -> str:
        return f"sb3-reinforce enjoy {self.folder.path}{self._modules()}"

    def _modules(self) -> str:
        """Options: a module that a file names is not imported, so the user names it."""
        env, policy = self.command.env, str(self.plan.hyperparameters["policy"])
        return f"{f' --env {env}' if ':' in env else ''}{f' --policy {policy}' if '.' in policy else ''}"

    def _say_what_was_tuned(self) -> None:
        if self.plan.tuned and self.plan.folder is None:
            self._say(f"Tuned settings for [bold]{self.plan.tuned_for}[/bold] (--defaults leaves them out):")
            for name, value in self.plan.tuned.items():
                self.console.print(Padding(f"{name}: {value}", (0, 0, 0, 2), expand=False))
            n_timesteps, tuned = self.plan.hyperparameters.get("n_timesteps"), self.plan.tuned_timesteps
            if n_timesteps is not None and tuned is not None and n_timesteps < tuned:
                self._say(f"[yellow]They were tuned for {tuned:,} timesteps.[/yellow] Fewer may not be enough.")

    def _say_what_begins(self) -> None:
        backend = "fastest" if self.command.fast else "PythonVecEnv"
        so_far = "" if self._checkpoint is None else f", from timestep {self.model.num_timesteps:,} on"
        n_envs = f"{self.model.n_envs} environment{'s' if self.model.n_envs > 1 else ''} ({backend})"
        self._say(f"Training [bold]{self._title()}[/bold], {n_envs}{so_far}")
        self._say(f"Everything goes into {self.folder.path}")

    def _say_where_it_is(self) -> None:
        self._say("To see how it went:", f"tensorboard --logdir {self.folder.path}")
        self._say("To see it play, or to make a video:", f"{self._enjoy_command} --video play.mp4")

    def _where_after_evaluation(self, stop: KeyboardInterrupt | None) -> str:
        n_episodes = self.command.n_eval_episodes
        lines = [
            f"Stopped while it was evaluated. The model is {self.folder.model}",
            "To evaluate it:",
            f"  {self._enjoy_command} --no-render --n-eval-episodes {n_episodes}",
        ]
        return "\n".join(lines if stop is None else [*lines, "To go on with training:", f"  {self._resume_command}"])

    def _print_table(self, evaluation: dict[str, Any]) -> None:
        from rich.table import Table

        table = Table(title=f"{evaluation['algo']} on {evaluation['env']}", show_header=False, title_justify="left")
        steps, seconds = evaluation["timesteps"], evaluation["training_seconds"]
        table.add_row("Training", f"{steps:,} steps in {seconds:.1f} s, {steps / max(seconds, 1e-3):,.0f} a second")
        table.add_row(
            f"Mean return, {evaluation['n_eval_episodes']} fresh episodes",
            f"{evaluation['mean_reward']:.2f} ± {evaluation['std_reward']:.2f}",
        )
        table.add_row("Mean length", f"{evaluation['mean_ep_length']:.1f}")
        n_cut_off = evaluation["n_cut_off"]
        if n_cut_off:
            table.add_row(f"Cut off after {evaluation['max_episode_steps']:,} timesteps", f"[red]{n_cut_off} episodes[/red]")
        if evaluation["solved"] is not None:
            answer = "[green]yes[/green]" if evaluation["solved"] else "[red]no[/red]"
            table.add_row(f"Solved (threshold {evaluation['reward_threshold']:g})", answer)
        self.console.print(table)
        if n_cut_off:
            message = cut_off_message(n_cut_off, evaluation["n_eval_episodes"], evaluation["max_episode_steps"])
            self._say(f"[yellow]{message} {CUT_OFF_ADVICE}[/yellow]")


class _ProgressBar(ProgressBarCallback):
    """SB3's progress bar, which also gives the terminal back when training breaks off."""

    def close(self) -> None:
        if hasattr(self, "pbar"):
            self.pbar.close()
