"""The picture of a timeline: panels of each channel on one axis of time, in colours and patterns that differ."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from serjax.evaluation.timeline_curves import Panel
from serjax.evaluation.timeline_plot import FILLS, check_picture, clock, draw_timeline
from serjax.runtime.errors import UserError

LABELS = ("angry", "happy", "sad")
TIMES = np.arange(20) + 0.5
SCORES = np.random.default_rng(0).dirichlet(np.ones(3), 20)
SCORES[5:8] = np.nan
WAVE = np.abs(np.sin(np.arange(2_000) / 100))
BANDS = [(0.0, 5.0, "sad"), (8.0, 8.5, "angry"), (8.5, 20.0, "happy")]


def panel(name=None):
    return Panel(name, 0.01, -WAVE, WAVE, TIMES, SCORES, BANDS)


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """A function that draws and returns the figure that is saved."""
    figures, save = [], Figure.savefig

    def keep(self, *arguments, **options):
        figures.append(self)
        save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)

    def make(panels, labels=LABELS, outputs="softmax", seconds=20.0):
        path = tmp_path / "new" / "picture.png"
        draw_timeline(path, panels, labels, outputs, seconds, "a_$b$.wav")
        assert imread(path).shape[1] == 12 * 160
        return figures[-1]

    return make


def test_probabilities_are_stacked_between_the_borders_of_windows(draw):
    sound, scores, bands = draw([panel()]).axes
    assert sound.get_shared_x_axes().joined(sound, bands)
    assert bands.get_xlim() == (0, 20)
    first, *_, last = scores.collections
    x = np.concatenate([path.vertices[:, 0] for path in first.get_paths()])
    assert (x.min(), x.max()) == (0, 20)
    # Two areas, with a gap where there is no speech.
    assert len(first.get_paths()) == 2
    np.testing.assert_allclose([path.vertices[:, 0].max() for path in first.get_paths()], [5, 20])
    y = np.concatenate([path.vertices[:, 1] for path in last.get_paths()])
    assert y.max() == pytest.approx(1)
    colours = [tuple(area.get_facecolor()[0]) for area in scores.collections]
    assert len(set(colours)) == 3


def test_segments_are_bands_named_where_there_is_room(draw):
    bands = draw([panel()]).axes[2]
    spans = {tuple(path.vertices[:, 0][[0, 2]]) for collection in bands.collections for path in collection.get_paths()}
    assert {tuple(sorted(span)) for span in spans} == {(0, 5), (8, 8.5), (8.5, 20)}
    assert [(text.get_text(), text.get_position()[0]) for text in bands.texts] == [("sad", 2.5), ("happy", 14.25)]


def test_each_channel_has_its_panels(draw):
    axes = draw([panel("left"), panel("right")]).axes
    assert len(axes) == 6
    assert [axes[0].get_title("left"), axes[3].get_title("left")] == ["left", "right"]


@pytest.mark.parametrize(("outputs", "rows"), [("sigmoid", 3), ("identity", 2)])
def test_scores_that_do_not_add_up_are_lines(draw, outputs, rows):
    axes = draw([panel()], outputs=outputs).axes
    assert len(axes) == rows
    assert len(axes[1].lines) == 3
    np.testing.assert_array_equal(axes[1].lines[1].get_ydata(), SCORES[:, 1])


def test_many_classes_differ_by_pattern_too(draw):
    labels = [f"class {number}" for number in range(len(FILLS) + 2)]
    scores = np.full((20, len(labels)), 1 / len(labels))
    figure = draw([panel()._replace(scores=scores, bands=[])], labels)
    looks = [(tuple(one.get_facecolor()), one.get_hatch()) for one in figure.legends[0].get_patches()]
    assert len(set(looks)) == len(labels)


@pytest.mark.parametrize("seconds", [0.4, 3.0, 599.0, 21_600.0])
def test_the_axis_of_time_has_few_marks(draw, seconds):
    axes = draw([panel()._replace(times=TIMES * seconds / 20, bands=[])], seconds=seconds).axes[-1]
    ticks = [one for one in axes.get_xticks() if 0 <= one <= seconds]
    assert 1 <= len(ticks) <= 13


def test_silence_is_drawn(draw):
    draw([panel()._replace(low=np.zeros(10), high=np.zeros(10), scores=np.full((20, 3), np.nan), bands=[])])


def test_clock():
    assert [clock(5, 20), clock(65, 70), clock(65, 7_200)] == ["5", "1:05", "0:01:05"]


def test_a_picture_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    with pytest.raises(UserError, match=r"--picture .*a\.pdf: pictures are PNG files"):
        check_picture(tmp_path / "a.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--picture"):
        check_picture(tmp_path / "file" / "a.png")
