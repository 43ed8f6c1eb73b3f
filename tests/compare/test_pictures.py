import pytest

from sb3_reinforce.compare.pictures import CURVES, FINAL, IMPROVEMENTS, PROFILES, TIMES, alternative_text, path_of, plots_of
from sb3_reinforce.compare.section import Section
from sb3_reinforce.compare.statistics import compute_statistics
from tests.compare.tables import comparison


def section(algos: tuple[str, ...] = ("good", "bad"), env: str = "E-v0", threshold: float | None = None) -> Section:
    (only,) = compute_statistics(comparison(algos, [env], n_seeds=1), {env: threshold}).sections
    return only


def test_a_section_has_the_figures_that_there_is_something_to_show_in() -> None:
    assert plots_of(section(threshold=8.0)) == [CURVES, PROFILES, FINAL, TIMES, IMPROVEMENTS]
    assert plots_of(section()) == [CURVES, PROFILES, FINAL, IMPROVEMENTS]
    assert plots_of(section(("alone",))) == [CURVES, PROFILES, FINAL]


@pytest.mark.parametrize(
    ("env", "path"),
    [
        ("ALE/Pong-v5", "figures/03-ale-pong-v5-learning-curves.png"),
        ("ALE Pong-v5", "figures/03-ale-pong-v5-learning-curves.png"),  # the number keeps the two apart
        ("../" + "x" * 300, f"figures/03-..-{'x' * 57}-learning-curves.png"),
    ],
)
def test_a_file_for_any_name(env: str, path: str) -> None:
    shown = section(env=env)
    assert path_of(3, shown, CURVES) == path
    assert path_of(4, shown, CURVES) != path


def test_what_a_figure_shows_in_words() -> None:
    assert alternative_text(section(env="a_*b*-v0"), PROFILES) == "a_*b*-v0: performance profile"
