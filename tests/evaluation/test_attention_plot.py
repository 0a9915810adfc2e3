"""The figure of cross-attention: frames beside rows of shares, sound above, in seconds."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from serjax.evaluation.attention_plot import draw_attention
from serjax.runtime.errors import UserError

SHARES = np.random.default_rng(0).dirichlet(np.ones(25), 3)
FRAMES = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """The figure that is saved, and its file."""
    figures, save = [], Figure.savefig

    def keep(self, *arguments, **options):
        figures.append(self)
        save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    wave = np.sin(np.arange(16_000)).astype(np.float32)
    draw_attention(tmp_path / "new" / "attention.png", SHARES, 0.02, wave, FRAMES, "a_$b$.mp4: sad 71.0%")
    return figures[0], tmp_path / "new" / "attention.png"


def test_shares_are_drawn_in_percent_along_seconds_and_frames(drawn):
    figure, _ = drawn
    sound, shares = figure.axes[:2]
    np.testing.assert_allclose(shares.images[0].get_array(), 100 * SHARES)
    assert shares.images[0].get_extent() == pytest.approx([0, 0.5, 3, 0])
    assert [tick.get_text() for tick in shares.get_yticklabels()] == ["1", "2", "3"]
    assert shares.get_xlabel() == "sound, s"
    assert sound.get_title() == "a_$b$.mp4: sad 71.0%"
    assert sound.get_xlim() == pytest.approx((0, 0.5))


def test_only_the_sound_that_was_looked_at_is_drawn(drawn):
    figure, _ = drawn
    times = figure.axes[0].lines[0].get_xdata()
    assert len(times) == 8_000
    assert times[-1] == pytest.approx(0.5, abs=1e-3)


def test_every_frame_is_shown(drawn):
    figure, _ = drawn
    pictures = [axes.images[0].get_array() for axes in figure.axes[3:]]
    np.testing.assert_array_equal(pictures, FRAMES)


def test_figure_grows_with_the_frames_and_its_folder_is_made(drawn):
    _, path = drawn
    assert imread(path).shape[:2] == pytest.approx((160 * (1.6 + 0.62 * 3), 160 * 9), abs=1)


def test_a_picture_that_is_no_png_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"a\.pdf: pictures are PNG files"):
        draw_attention(tmp_path / "a.pdf", SHARES, 0.02, np.zeros(16_000, np.float32), FRAMES, "a")


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--attention"):
        draw_attention(tmp_path / "file" / "a.png", SHARES, 0.02, np.zeros(16_000, np.float32), FRAMES, "a")
