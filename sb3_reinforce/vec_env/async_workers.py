"""Words with some of the processes of an AsyncVectorEnv, whose own methods speak with all of them."""

from typing import Any

from gymnasium.vector import AsyncVectorEnv


def ask_workers(vector_env: AsyncVectorEnv, envs: list[int], message: tuple[str, Any]) -> list[Any]:
    """
    :param vector_env: The vector environment, with no step or reset under way.
    :param envs: Numbers of the environments whose processes are asked.
    :param message: What AsyncVectorEnv itself would send: a command and its data.
    :return: Their answers.
    :raises gymnasium.error.ClosedEnvironmentError: If the vector environment is closed.
    :raises Exception: What one of them has raised; its process has ended then.
    """
    vector_env._assert_is_running()
    pipes = [vector_env.parent_pipes[i] for i in envs]
    for pipe in pipes:
        pipe.send(message)
    answers = [pipe.recv() for pipe in pipes]
    vector_env._raise_if_errors([True] * (vector_env.num_envs - len(answers)) + [success for _, success in answers])
    return [answer for answer, _ in answers]
