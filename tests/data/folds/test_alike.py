"""Altered copies in a store: named, and kept on one side of every fold."""

import numpy as np
import pytest
import soundfile as sf
from scipy import signal

from serjax.data.config import DataConfig, FoldsConfig
from serjax.data.dataset import read_data
from serjax.data.folds import alike
from serjax.data.folds.alike import alike_clips, may_divide
from serjax.data.store.clips import open_store
from serjax.data.utterance import Utterance


def bursts(seed):
    """Return bands of noise, one after the other, which are the same for no two seeds."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(10):
        low = rng.uniform(200, 3000)
        band = signal.butter(2, [low, low * rng.uniform(1.2, 2)], "band", fs=16000, output="sos")
        length = int(rng.uniform(0.06, 0.2) * 16000)
        parts.append(np.hanning(length) * signal.sosfilt(band, rng.standard_normal(length)) * rng.uniform(0.1, 0.5))
    return np.concatenate(parts)


def test_altered_copies_stand_on_one_side_and_are_named(tmp_path):
    for i in range(16):
        folder = tmp_path / "corpus" / ("sad", "joy")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        wave = bursts(i)
        sf.write(folder / f"clip{chr(97 + i)}.wav", wave, 16000)
        if i < 6:
            noise = np.random.default_rng(99 + i).standard_normal(len(wave)) * wave.std() * 0.1
            sf.write(folder / f"other{chr(97 + i)}.wav", signal.resample_poly(0.5 * (wave + noise), 10, 11), 16000)
    data = read_data(
        DataConfig(root=str(tmp_path / "corpus"), speakers="unknown"), FoldsConfig(count=3), seed=0, cache=tmp_path
    )
    ids = [clip.id for clip in data.store.utterances]
    for i in range(6):
        label = ("sad", "joy")[i % 2]
        one, other = (ids.index(f"{label}/{name}{chr(97 + i)}") for name in ("clip", "other"))
        for fold in data.folds:
            parts = [part for part in (fold.train, fold.validation, fold.test) if one in part]
            assert len(parts) == 1
            assert other in parts[0]
    assert any("12 clips in 6 groups sound alike" in note for note in data.leakage_notes)


@pytest.mark.parametrize(
    ("kind", "speaker", "expected"),
    [("auto", "s", False), ("leave_speaker_out", "s", False), ("stratified", "s", True), ("auto", None, True)],
)
def test_folds_by_speaker_need_no_comparison(tmp_path, kind, speaker, expected):
    assert may_divide([Utterance("a", tmp_path, "A", speaker)], FoldsConfig(kind=kind)) == expected


def test_what_was_found_is_kept_beside_the_clips(tmp_path, monkeypatch):
    clips = []
    for name, rate in (("a", 16_000), ("b", 17_000), ("c", 16_000)):
        sf.write(tmp_path / f"{name}.wav", bursts("ac".find(name) > 0), rate)
        clips.append(Utterance(name, tmp_path / f"{name}.wav", "x"))
    store = open_store(clips, tmp_path / "clips", skip_bad=False)
    assert alike_clips(store) == [[0, 1]]
    kept = store.folder / alike._KEPT
    again = open_store(clips, tmp_path / "clips", skip_bad=False)
    with monkeypatch.context() as patched:
        patched.setattr(alike, "sound_print", None)
        assert alike_clips(again) == [[0, 1]]
    for damage in (
        '{"clips": 3, "groups": [[0, 7]]}',
        '{"clips": 2, "groups": []}',
        "[",
        '{"clips": 3, "groups": [1]}',
    ):
        kept.write_text(damage)
        assert alike_clips(again) == [[0, 1]]
