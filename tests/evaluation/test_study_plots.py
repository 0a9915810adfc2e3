"""Heat maps and the critical-difference diagram: every score is there, and nothing that is not."""

import pytest
from little_report import make_report

from serjax.evaluation.study_plots import heat_figure, ranks_figure
from serjax.evaluation.study_report import score_of


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize("protocol", ["speaker", "cross"])
def test_every_score_is_written_on_its_cell(protocol):
    report = make_report(protocol, failed=[("b", "y")])
    found = texts(heat_figure(report))
    known = [cell for cell in report["cells"] if cell["scores"]]
    assert sorted(text for text in found if "." in text) == sorted(
        f"{100 * cell['scores']['ua']['score']:.1f}" for cell in known
    )
    assert found.count("failed") == len(report["cells"]) - len(known)


def test_across_corpora_there_is_a_panel_an_encoder_with_a_framed_diagonal():
    figure = heat_figure(make_report("cross", encoders=("a", "b", "c", "d"), corpora=("x", "y", "z")))
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["a", "b", "c", "d"]
    assert all(len(axes.patches) == 3 for axes in panels)


def test_scores_that_are_all_equal_can_be_drawn():
    report = make_report(encoders=("a",), corpora=("x",))
    score = f"{100 * score_of(report, 'a', 'x', 'x')['scores']['ua']['score']:.1f}"
    assert score in texts(heat_figure(report))


def test_the_diagram_has_names_ranks_and_the_critical_difference():
    report = make_report(corpora=tuple("uvwxyz"))
    figure = ranks_figure(report)
    found = texts(figure)
    for name, mean in report["ranks"]["mean"].items():
        assert f"{name} {mean:.2f}" in found
    assert any(text.startswith("critical difference 1.35") for text in found)
    figure.draw_without_rendering()


def test_a_critical_difference_beyond_the_line_is_said():
    assert any("more than the line is long" in text for text in texts(ranks_figure(make_report())))
