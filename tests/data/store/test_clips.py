"""The store of decoded clips: the same samples as decoding gives, once, complete or not there."""

import errno
import os
import pickle
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serjax.audio.codec import coded as through
from serjax.audio.decode import decode
from serjax.audio.highpass import dc_offset, highpass
from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus
from serjax.data.store import clips as module
from serjax.data.store import decoded as decoded_clips
from serjax.data.store import ragged
from serjax.data.store.clips import open_store
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

FAULTS = Path(__file__).parents[3] / "../shared/faults"

SHARED = Path(__file__).parents[3] / "../shared/data"


def noise(seconds, rate, seed):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32)


def write_clips(folder, count, rate=16_000):
    utterances = []
    for i in range(count):
        path = folder / f"clip{i}.wav"
        soundfile.write(path, noise(0.1 + 0.01 * i, rate, i), rate)
        utterances.append(Utterance(f"clip{i}", path, "sad"))
    return utterances


@pytest.fixture
def decoded(monkeypatch):
    """The paths that were decoded, in no certain order."""
    paths = []

    def counting(path, **stretch):
        paths.append(path)
        return decode(path, **stretch)

    monkeypatch.setattr(module, "decode", counting)
    return paths


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), count=st.integers(1, 30))
def test_clips_are_what_decode_gives_in_their_order(tmp_path_factory, data, count):
    folder = tmp_path_factory.mktemp("store")
    files = write_clips(folder, 5, rate=22_050)
    stretch = st.tuples(st.floats(0, 0.03), st.none() | st.floats(0.07, 0.1))
    utterances = []
    for i in range(count):  # several stretches of a file, in any order
        start, end = data.draw(stretch)
        utterances.append(replace(data.draw(st.sampled_from(files)), id=str(i), start=start, end=end))
    store = open_store(utterances, folder / "clips", skip_bad=False)
    assert store.utterances == tuple(utterances)
    assert len(store) == count
    assert not store.skipped
    for i, clip in enumerate(utterances):
        samples = decode(clip.path, start=clip.start, end=clip.end)
        np.testing.assert_array_equal(store.clip(i), samples)
        assert store.lengths[i] == len(samples)
    same_samples = {(hash_, store.clip(i).tobytes()) for i, hash_ in enumerate(store.hashes)}
    assert len(same_samples) == len(set(store.hashes)) == len({samples for _, samples in same_samples})


def test_a_clip_is_a_read_only_view(tmp_path):
    store = open_store(write_clips(tmp_path, 2), tmp_path / "clips", skip_bad=False)
    clip = store.clip(1)
    assert clip.dtype == np.float32
    assert type(clip) is np.ndarray
    assert not clip.flags.writeable
    assert not clip.flags.owndata
    for i in (-1, 2):
        with pytest.raises(IndexError):
            store.clip(i)


def test_nothing_is_decoded_twice(tmp_path, decoded):
    utterances = write_clips(tmp_path, 5)
    first = open_store(utterances, tmp_path / "clips", skip_bad=False)
    assert sorted(decoded) == [clip.path for clip in utterances]
    decoded.clear()
    moved = []
    for clip in utterances:
        os.utime(clip.path)
        moved.append(replace(clip, id=f"other-{clip.id}", label="happy", path=clip.path.with_suffix(".moved.wav")))
        clip.path.rename(moved[-1].path)
    again = open_store(moved, tmp_path / "clips", skip_bad=False)
    assert decoded == []
    assert again.utterances == tuple(moved)
    assert again.hashes == first.hashes
    assert again.folder == first.folder


def test_other_content_order_and_stretches_are_decoded_anew(tmp_path, decoded):
    utterances = write_clips(tmp_path, 3)
    open_store(utterances, tmp_path / "clips", skip_bad=False)
    for changed in (utterances[::-1], utterances[:2], [replace(utterances[0], start=0.05), *utterances[1:]]):
        decoded.clear()
        assert open_store(changed, tmp_path / "clips", skip_bad=False).utterances == tuple(changed)
        assert len(decoded) == len(changed)
    decoded.clear()
    soundfile.write(utterances[1].path, noise(0.2, 16_000, 99), 16_000)
    store = open_store(utterances, tmp_path / "clips", skip_bad=False)
    assert len(decoded) == 3
    np.testing.assert_array_equal(store.clip(1), decode(utterances[1].path))


def test_a_pickle_carries_no_samples(tmp_path):
    store = open_store(write_clips(tmp_path, 20), tmp_path / "clips", skip_bad=False)
    carried = pickle.dumps(store)
    assert len(carried) < store.lengths.sum() / 10
    copy = pickle.loads(carried)
    assert copy.utterances == store.utterances
    for i in range(20):
        np.testing.assert_array_equal(copy.clip(i), store.clip(i))


def spoil(utterances):
    """Make clips 1 and 3 unusable and take clip 4 away."""
    utterances[1].path.write_bytes(b"no sound")
    soundfile.write(utterances[3].path, np.full(8_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    utterances[4].path.unlink()


def test_bad_clips_are_told_all_at_once_or_skipped(tmp_path, decoded):
    utterances = write_clips(tmp_path, 6)
    spoil(utterances)
    with pytest.raises(UserError) as caught:
        open_store(utterances, tmp_path / "clips", skip_bad=False)
    head, *lines = str(caught.value).splitlines()
    assert re.fullmatch(r"3 of 6 clips cannot be used; repair .* leave them out with --data\.skip-bad:", head)
    reasons = ("is not a sound file", "8000 of its samples are NaN", "cannot be opened (No such file or directory)")
    for line, number, reason in zip(lines, (1, 3, 4), reasons, strict=True):
        assert line.startswith(f"{utterances[number].path}: ")
        assert reason in line
    decoded.clear()
    store = open_store(utterances, tmp_path / "clips", skip_bad=True)
    assert decoded == [utterances[place].path for place in (1, 3, 4)]  # which may be readable again
    assert store.utterances == (utterances[0], utterances[2], utterances[5])
    assert store.skipped == tuple(lines)
    np.testing.assert_array_equal(store.clip(2), decode(utterances[5].path))


def test_an_error_that_passes_is_not_kept(tmp_path, monkeypatch):
    utterances = write_clips(tmp_path, 3)
    real = module.decode

    def failing(path, **stretch):
        if path == utterances[1].path:
            raise UserError(f"{path}: it cannot be opened (Input/output error); get it again.")
        return real(path, **stretch)

    monkeypatch.setattr(module, "decode", failing)
    assert len(open_store(utterances, tmp_path / "clips", skip_bad=True)) == 2
    monkeypatch.setattr(module, "decode", real)
    assert len(open_store(utterances, tmp_path / "clips", skip_bad=False)) == 3


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the inputs that failed are not here")
def test_a_file_that_could_not_be_read_for_a_moment(tmp_path, monkeypatch):
    corpus = FAULTS / "92_error_kept_in_cache/corpus"
    paths = sorted(corpus.rglob("*.wav"))
    utterances = [Utterance(path.stem + path.parent.name, path, path.parent.name) for path in paths]
    real, failing = module.decode, paths[::5]

    def decode(path, **stretch):
        if path in failing:
            raise UserError(f"{path}: it cannot be opened (Too many open files); get it again.")
        return real(path, **stretch)

    monkeypatch.setattr(module, "decode", decode)
    store = open_store(utterances, tmp_path / "clips", skip_bad=True)
    assert [f"{path}: it cannot be opened" in said for path, said in zip(failing, store.skipped, strict=True)] == [
        True
    ] * 3
    with pytest.raises(UserError, match="3 of 12 clips cannot be used"):
        open_store(utterances, tmp_path / "clips", skip_bad=False)
    monkeypatch.setattr(module, "decode", real)
    for skip_bad in (False, True):
        assert open_store(utterances, tmp_path / "clips", skip_bad=skip_bad).utterances == tuple(utterances)


@pytest.mark.parametrize(
    ("wave", "said"), [(np.zeros(8_000), "it is silent"), (1e20 * noise(0.5, 16_000, 1), "full scale is 1")]
)
def test_clips_that_are_no_speech_are_bad_clips(tmp_path, wave, said):
    utterances = write_clips(tmp_path, 2)
    soundfile.write(utterances[1].path, wave, 16_000, subtype="FLOAT")
    with pytest.raises(UserError, match=rf"1 of 2 clips cannot be used.*\n.*{said}"):
        open_store(utterances, tmp_path / "clips", skip_bad=False)


def test_a_file_that_comes_back_is_tried_again(tmp_path):
    utterances = write_clips(tmp_path, 6)
    content = utterances[4].path.read_bytes()
    spoil(utterances)
    assert len(open_store(utterances, tmp_path / "clips", skip_bad=True)) == 3
    utterances[4].path.write_bytes(content)
    assert utterances[4] in open_store(utterances, tmp_path / "clips", skip_bad=True).utterances


def test_nothing_left_is_an_error(tmp_path):
    utterances = write_clips(tmp_path, 1)
    utterances[0].path.write_bytes(b"")
    with pytest.raises(UserError, match=r"^1 of 1 clips cannot be used; repair them:\n.*clip0.wav: the file is"):
        open_store(utterances, tmp_path / "clips", skip_bad=True)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_its_size(tmp_path, monkeypatch, decoded, code):
    utterances = write_clips(tmp_path, 4)
    write, room = ragged._write_all, [20_000]

    def failing(file, data, place):
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(code, os.strerror(code))
        write(file, data, place)

    monkeypatch.setattr(ragged, "_write_all", failing)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=3_210_000_000))
    message = r"clips: .* disk is full \(about \d+\.\d kB are needed, 3\.2 GB are free\); .* with --data\.cache DIR"
    with pytest.raises(UserError, match=message):
        open_store(utterances, tmp_path / "clips", skip_bad=False)
    monkeypatch.undo()
    for i, clip in enumerate(utterances):
        samples = decode(clip.path)
        np.testing.assert_array_equal(open_store(utterances, tmp_path / "clips", skip_bad=False).clip(i), samples)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    utterances = write_clips(tmp_path, 1)
    (tmp_path / "clips").write_text("a file is in the way")
    with pytest.raises(UserError, match=r"clips: it cannot be written \(.*\); choose .* --data\.cache DIR"):
        open_store(utterances, tmp_path / "clips", skip_bad=False)


def test_a_damaged_store_is_told(tmp_path):
    utterances = write_clips(tmp_path, 3)
    folder = open_store(utterances, tmp_path / "clips", skip_bad=False).folder
    os.truncate(folder / "samples.npy", 1_000)
    with pytest.raises(UserError, match=rf"{folder.name}: this store of decoded clips is damaged .*; delete it"):
        open_store(utterances, tmp_path / "clips", skip_bad=False)


def test_an_interrupted_call_is_resumed(tmp_path, monkeypatch):
    utterances, seen = write_clips(tmp_path, 12), []

    def interrupted(path, **stretch):
        seen.append(path)
        if path == utterances[8].path and len(set(seen)) == len(seen):
            raise KeyboardInterrupt
        return decode(path, **stretch)

    monkeypatch.setattr(decoded_clips, "_AHEAD", 1)
    monkeypatch.setattr(module, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_store(utterances, tmp_path / "clips", skip_bad=False)
    seen.clear()
    seen.append(utterances[8].path)
    store = open_store(utterances, tmp_path / "clips", skip_bad=False)
    assert set(seen) == {clip.path for clip in utterances[8:]}
    for i, clip in enumerate(utterances):
        np.testing.assert_array_equal(store.clip(i), decode(clip.path))


KILLED = """
import os, signal, sys
from pathlib import Path
from serjax.data.store import clips, decoded, ragged
from serjax.data.utterance import Utterance
utterances = [Utterance(name, Path(name), "sad") for name in sys.argv[2:]]
decode, ragged._SAVE_SECONDS, decoded._AHEAD = clips.decode, 0, 1
def kill(path, **stretch):
    if path == utterances[8].path:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(path, **stretch)
clips.decode = kill
clips.open_store(utterances, Path(sys.argv[1]), skip_bad=False)
"""


def test_a_killed_process_is_resumed(tmp_path, decoded):
    utterances = write_clips(tmp_path, 12)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "clips"), *(str(clip.path) for clip in utterances)]
    assert subprocess.run(command, check=False, cwd=Path(__file__).parents[3]).returncode == -signal.SIGKILL
    store = open_store(utterances, tmp_path / "clips", skip_bad=False)
    assert {clip.path for clip in utterances[8:]} <= set(decoded)
    assert len(decoded) <= 7
    for i, clip in enumerate(utterances):
        np.testing.assert_array_equal(store.clip(i), decode(clip.path))


def test_two_processes_decode_a_corpus_once(tmp_path):
    utterances = write_clips(tmp_path, 12)
    program = """
import sys, time
from pathlib import Path
from serjax.data.store import clips
from serjax.data.utterance import Utterance
decode, count = clips.decode, []
def slow(path, **stretch):
    time.sleep(0.1)
    count.append(path)
    return decode(path, **stretch)
clips.decode = slow
clips.open_store([Utterance(name, Path(name), "sad") for name in sys.argv[2:]], Path(sys.argv[1]), skip_bad=False)
print(len(count))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "clips"), *(str(clip.path) for clip in utterances)]
    options = {"cwd": Path(__file__).parents[3], "stdout": subprocess.PIPE}
    both = [subprocess.Popen(command, **options) for _ in range(2)]
    assert sum(int(one.communicate()[0]) for one in both) == 12


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real recordings are not here")
def test_the_two_equal_clips_of_ravdess_have_equal_hashes(tmp_path):
    corpus = read_corpus(DataConfig(root=str(SHARED / "ravdess/Actor_07"), corpus="ravdess"))
    store = open_store(corpus.utterances, tmp_path, skip_bad=False)
    by_hash = {}
    for clip, hash_ in zip(store.utterances, store.hashes, strict=True):
        by_hash.setdefault(hash_, []).append(clip.id)
    twins = [ids for ids in by_hash.values() if len(ids) > 1]
    assert twins == [["03-01-03-01-02-01-07", "03-01-03-01-02-02-07"]]


def test_silence_is_left_out_where_something_remains(tmp_path):
    utterances = write_clips(tmp_path, 2)
    for number, clip in enumerate(utterances):
        sound = noise(1.0 if number else 0.2, 16_000, number)
        soundfile.write(clip.path, np.concatenate([sound, np.zeros(16_000)]), 16_000)
    plain = module.open_store(utterances, tmp_path / "store", skip_bad=False)
    trimmed = module.open_store(utterances, tmp_path / "store", skip_bad=False, vad="energy")
    assert (plain.untrimmed, trimmed.untrimmed) == (0, 1)
    assert trimmed.lengths[0] == plain.lengths[0]
    assert trimmed.lengths[1] < plain.lengths[1] - 12_000


@pytest.mark.parametrize("vad", ["none", "energy"])
def test_clips_that_are_not_kept_are_those_that_are(tmp_path, decoded, vad):
    utterances = write_clips(tmp_path, 6, rate=22_050)
    sound = noise(1.0, 22_050, 9)
    soundfile.write(utterances[0].path, np.concatenate([sound, np.zeros(22_050)]), 22_050)
    utterances.append(replace(utterances[5], id="stretch", start=0.02, end=0.1))
    spoil(utterances)
    kept, index = (
        open_store(utterances, tmp_path / "clips", skip_bad=True, vad=vad, keep=keep) for keep in (True, False)
    )
    assert index.folder != kept.folder
    assert (kept.kept, index.kept) == (True, False)
    for name in ("utterances", "hashes", "skipped", "untrimmed"):
        assert getattr(index, name) == getattr(kept, name)
    np.testing.assert_array_equal(index.lengths, kept.lengths)
    # A header, and no samples.
    assert (index.folder / "samples.npy").stat().st_size == 128
    decoded.clear()
    again = open_store(utterances, tmp_path / "clips", skip_bad=True, vad=vad, keep=False)
    assert decoded == [utterances[place].path for place in (1, 3, 4)]  # which may be readable again
    decoded.clear()
    for store in (index, again, pickle.loads(pickle.dumps(index))):
        for i in range(len(kept)):
            assert store.clip(i).tobytes() == kept.clip(i).tobytes()
            assert not store.clip(i).flags.writeable
    assert len(decoded) == 3 * 2 * len(kept)
    with pytest.raises(IndexError):
        index.clip(len(kept))


def test_a_recording_that_changed_or_went_since_it_was_indexed_is_named(tmp_path):
    utterances = write_clips(tmp_path, 3)
    store = open_store(utterances, tmp_path / "clips", skip_bad=False, keep=False)
    soundfile.write(utterances[1].path, noise(0.11, 16_000, 99), 16_000)
    utterances[2].path.unlink()
    assert len(store.clip(0)) == 1_600
    with pytest.raises(
        UserError, match=r"^\S*clip1\.wav: it decodes to other samples than when its clips were [^\n]*$"
    ):
        store.clip(1)
    with pytest.raises(
        UserError, match=r"^\S*clip2\.wav: it was readable when .* \(it cannot be opened \(No such file"
    ):
        store.clip(2)


def test_a_high_pass_filter_comes_before_the_rest_and_makes_a_store_of_its_own(tmp_path):
    (clip,) = utterances = write_clips(tmp_path, 1)
    wave = noise(1.0, 16_000, 0) * np.repeat(np.float32([1, 0.001]), 8_000)
    soundfile.write(clip.path, wave + np.float32(0.2), 16_000, subtype="FLOAT")
    plain = open_store(utterances, tmp_path / "store", skip_bad=False)
    filtered = open_store(utterances, tmp_path / "store", skip_bad=False, cutoff=20.0)
    assert plain.folder != filtered.folder
    assert abs(plain.clip(0).mean()) > 0.19
    np.testing.assert_array_equal(filtered.clip(0), highpass(plain.clip(0), 20.0))
    # The offset is the recording's own, whatever is done about it, and no silence is told from sound while it is there.
    assert plain.offsets[0] == filtered.offsets[0] == dc_offset(plain.clip(0)) > 0.5
    kept = [
        open_store(utterances, tmp_path / "store", skip_bad=False, vad="energy", cutoff=cutoff).lengths[0]
        for cutoff in (None, 20.0)
    ]
    assert kept[0] == 16_000 > 10_000 > kept[1]


def test_clips_of_a_codec_stand_beside_the_others_as_long_as_they_are(tmp_path):
    utterances = write_clips(tmp_path, 4)
    plain, *coded = (
        open_store(utterances, tmp_path / "clips", skip_bad=False, codec=codec) for codec in (None, "telephone", "opus")
    )
    assert len({store.folder for store in (plain, *coded)}) == 3
    read = open_store(utterances, tmp_path / "clips", skip_bad=False, codec="opus", keep=False)
    for store in coded:
        np.testing.assert_array_equal(store.lengths, plain.lengths)
        assert not set(store.hashes) & set(plain.hashes)
    for i in range(len(plain)):
        np.testing.assert_array_equal(coded[0].clip(i), through(plain.clip(i), "telephone"))
        assert read.clip(i).tobytes() == coded[1].clip(i).tobytes()
