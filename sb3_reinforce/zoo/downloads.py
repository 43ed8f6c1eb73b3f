"""Downloads of the RL Zoo's ``load_from_hub``, which rl_zoo3 2.9.2 wrote for an older huggingface_hub."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

from sb3_reinforce.common.extras import needs


@contextmanager
def downloading(is_ours: bool) -> Iterator[None]:
    """
    Within, a file that a repository lacks is an error that rl_zoo3 knows: it then goes on without, as it must where a model
    has no VecNormalize.

    :param is_ours: Whether it is a model of our algorithms. It is downloaded as it is, for it will be read without running
        it. For others huggingface_sb3 asks for ``TRUST_REMOTE_CODE=True``, since SB3 will unpickle the file.
    :raises ImportError: If huggingface_sb3 is not installed.
    """
    with needs("zoo", "load_from_hub"):
        import huggingface_sb3
        from huggingface_hub import hf_hub_download

    def download_only(repo_id: str, filename: str) -> str:
        return str(hf_hub_download(repo_id, filename))

    original = download_only if is_ours else huggingface_sb3.load_from_hub
    with mock.patch.object(huggingface_sb3, "load_from_hub", _with_known_error(original)):
        yield


def _with_known_error(download: Callable[[str, str], str]) -> Callable[[str, str], str]:
    from huggingface_hub.errors import EntryNotFoundError
    from requests.exceptions import HTTPError

    def load_from_hub(repo_id: str, filename: str) -> str:
        try:
            return download(repo_id, filename)
        except EntryNotFoundError as error:
            raise HTTPError(str(error)) from error

    return load_from_hub
