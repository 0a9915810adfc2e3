"""A recording followed to its end, or to where it is stopped."""

import numpy as np
import pytest
from saved_runs import write_run

from serjax.audio.stream import open_stream
from serjax.inference.load import load
from serjax.inference.segments import segments, smooth
from serjax.inference.timeline_report import Recording, follow

WAVE = np.random.default_rng(0).normal(0, 0.1, (16_000 * 9, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_run(folder, max_seconds=0.5)
    return load(folder)


def followed(model, wave=WAVE, tell=lambda done: None, **options):
    recording, taken = Recording(), []
    with open_stream((wave, 16_000)) as stream:
        try:
            follow(model, stream, recording, taken.append, tell, window=0.4, hop=0.2, **options)
        except KeyboardInterrupt:
            return recording, taken, True
    return recording, taken, False


@pytest.mark.parametrize("channels", ["mix", "separate"])
def test_it_hands_on_what_the_whole_timeline_has(model, channels):
    done = []
    recording, taken, _ = followed(model, tell=done.append, channels=channels, vad="energy", curves=True)
    whole = model.timeline((WAVE, 16_000), 0.4, 0.2, channels=channels, vad="energy")
    expected = list(smooth(whole.rows))
    assert [one.row[:3] for one in taken] == [one.row[:3] for one in expected]
    np.testing.assert_allclose([one.score for one in taken], [one.score for one in expected], atol=1e-6)
    assert recording.segments == segments(whole)
    assert recording.seconds == 9
    assert done[-1] == 9
    assert [one.name for one in recording.panels] == ([None] if channels == "mix" else ["left", "right"])
    for number, panel in enumerate(recording.panels):
        own = [(one.start, one.end, one.label) for one in recording.segments if one.channel == panel.name]
        assert panel.bands == own
        rows = [one for one in expected if one.row.channel == panel.name]
        np.testing.assert_allclose(panel.scores, [one.score for one in rows], atol=1e-6)
        np.testing.assert_allclose(panel.times, [(one.row.start + one.row.end) / 2 for one in rows])
        sound = WAVE.mean(1) if channels == "mix" else WAVE[:, number]
        assert panel.high.max() == pytest.approx(sound.max())
        assert len(panel.low) * panel.step == pytest.approx(9, abs=panel.step)


def test_what_is_done_when_it_is_stopped_is_kept(model):
    def stop(done):
        if done >= 3:
            raise KeyboardInterrupt

    recording, taken, stopped = followed(model, tell=stop, curves=True)
    assert stopped
    assert recording.seconds == pytest.approx(3.0)
    assert taken[-1].row.end == pytest.approx(3.0)
    assert recording.segments[-1].end == pytest.approx(3.0)
    assert recording.panels[0].times[-1] == pytest.approx(2.8)


def test_values_have_no_segments(model, monkeypatch):
    monkeypatch.setattr(model, "outputs", "identity")
    recording, taken, _ = followed(model)
    assert recording.segments == []
    assert recording.panels == []
    assert len(taken) == 44
