import pytest

from sb3_reinforce.common.names import check_known


def test_what_is_not_known_is_said_with_what_is() -> None:
    check_known("fruit", "apple", ["apple", "pear"])
    with pytest.raises(ValueError, match=r"There is no fruit 'aple': did you mean apple\?"):
        check_known("fruit", "aple", ["apple", "pear"])
    with pytest.raises(ValueError, match=r"There is no fruit 'kiwi': there are apple, pear\."):
        check_known("fruit", "kiwi", ["pear", "apple"])
