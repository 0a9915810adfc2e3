"""Decoding by several threads into a ragged array: in order, a little ahead, and found again by contents."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.data.store import decoded as module
from serjax.data.store.decoded import DecodedClips, decode_once, unusable, usable
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError


def write_files(folder, count):
    clips = []
    for i in range(count):
        path = folder / f"clip{i}.bin"
        path.write_bytes(bytes([i] * (i + 1)))
        clips.append(Utterance(f"clip{i}", path, "sad"))
    return clips


def open_bytes(clips, folder, settings=(), *, skip_bad=False, seen=None):
    def decode(clip):
        if seen is not None:
            seen.append(clip.id)
        content = np.frombuffer(clip.path.read_bytes(), np.uint8)
        if content[0] == 2:
            return unusable(UserError(f"{clip.path}: it holds twos."), clip.path, content[:0], first=None)
        return usable(content, first=int(content[0]))

    return decode_once(DecodedClips, clips, folder, decode, settings=settings, dtype="|u1", skip_bad=skip_bad)


def test_rows_hashes_and_columns_are_those_of_the_clips_that_can_be_used(tmp_path):
    clips = write_files(tmp_path, 5)
    store = open_bytes(clips, tmp_path / "store", skip_bad=True)
    assert store.utterances == (*clips[:2], *clips[3:])
    assert store.skipped == (f"{clips[2].path}: it holds twos.",)
    assert store._column("first") == [0, 1, 3, 4]
    assert len(set(store.hashes)) == 4
    with pytest.raises(UserError, match="1 of 5 clips cannot be used"):
        open_bytes(clips, tmp_path / "store")


def test_other_settings_are_decoded_anew(tmp_path):
    clips, seen = write_files(tmp_path, 2), []
    for settings, decoded in ((["a"], 2), (["a"], 2), (["b"], 4)):
        open_bytes(clips, tmp_path / "store", settings, seen=seen)
        assert len(seen) == decoded


def test_memory_holds_only_a_few_clips(tmp_path, monkeypatch):
    """Threads may run ahead of the writer by so many clips and no more."""
    clips = write_files(tmp_path, 40)
    monkeypatch.setattr(module, "_AHEAD", 3)
    begun = []
    with ThreadPoolExecutor(2) as pool:
        for done, _ in enumerate(module._in_order(clips, begun.append, pool), 1):
            assert len(begun) <= done + 3
    assert len(begun) == 40


@given(st.integers(0, 50), st.integers(1, 20))
def test_parts_are_even_and_hold_every_clip_once_in_order(items, parts):
    own = [module._own(items)(part, parts) for part in range(parts)]
    assert [item for steps in own for item in steps] == list(range(items))
    assert max(map(len, own)) - min(map(len, own)) <= 1
