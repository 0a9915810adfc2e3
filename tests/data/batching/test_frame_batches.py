"""Batches of labelled clips: full, of few lengths, each frame with its own label, the same from the same seed."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.data.batching.frame_batches import labelled_batches, plan, side_by_side
from serjax.data.store.frame_labels import FrameGrid
from serjax.runtime.errors import UserError

GRID = FrameGrid()
few = settings(max_examples=30)


class Memory:
    """A store whose every sample tells its clip and its place: sample s of clip i is 1000 i + s / 320."""

    def __init__(self, lengths):
        self.lengths = np.array(lengths, np.int64)
        self.labels = [1000 * i + np.arange(GRID.frames(length)) for i, length in enumerate(lengths)]

    def clip(self, i):
        return (1000 * i + np.arange(self.lengths[i]) / 320).astype(np.float32)

    def __len__(self):
        return len(self.lengths)


lengths = st.lists(st.integers(400, 40_000), min_size=1, max_size=25)


@few
@given(lengths, st.integers(1, 9), st.integers(1, 3), st.integers(1, 3))
def test_a_plan_takes_every_clip_that_is_long_enough(lengths, shapes, devices, parts):
    usable = [GRID.samples(GRID.frames(min(length, 24_000))) for length in lengths if length >= 3200]
    if sum(usable) < 8000 * devices or not usable:
        with pytest.raises(UserError):
            plan(np.array(lengths), GRID, seconds=0.5, shortest=0.2, longest=1.5, devices=devices, shapes=shapes)
        return
    found = plan(
        np.array(lengths), GRID, seconds=0.5, shortest=0.2, longest=1.5, devices=devices, parts=parts, shapes=shapes
    )
    assert 1 <= len(found) <= shapes
    taken = Counter(clip for shape in found for clip in shape.clips)
    assert taken == Counter(i for i, length in enumerate(lengths) if length >= 3200)
    for shape, following in zip(found, [*found[1:], None], strict=True):
        assert shape.rows % (devices * parts) == 0
        # As much as fits, in whole parts, and at least a row of each.
        fits = 8000 // GRID.samples(shape.frames)
        assert shape.rows == devices * parts * max(1, fits // parts)
        for clip in shape.clips:
            frames = GRID.frames(min(lengths[clip], 24_000))
            assert shape.frames <= frames
            assert following is None or frames < following.frames
    assert min(GRID.frames(min(lengths[clip], 24_000)) for clip in taken) == found[0].frames


@few
@given(lengths, st.integers(0, 99))
def test_every_frame_has_its_own_label(lengths, seed):
    clips = Memory([*lengths, 20_000])
    shapes = plan(clips.lengths, GRID, seconds=0.5, shortest=0.2, longest=1.5, shapes=3)
    batches = list(labelled_batches(clips, clips.labels, shapes, GRID, seed=(seed,), updates=12))
    assert len(batches) == 12
    assert {(len(batch.wave), batch.label.shape[1]) for batch in batches} <= {(s.rows, s.frames) for s in shapes}
    for batch in batches:
        assert [field.dtype for field in batch] == [np.float32, np.int32, np.int32]
        samples = GRID.samples(batch.label.shape[1])
        assert batch.wave.shape == (len(batch.label), samples)
        assert (batch.length == samples).all()
        # The first sample of each frame's stretch says clip and place.
        np.testing.assert_allclose(batch.wave[:, ::320][:, : batch.label.shape[1]], batch.label, atol=1e-2)


def test_every_clip_comes_as_often_as_any_other():
    rng = np.random.default_rng(0)
    clips = Memory(rng.integers(3200, 30_000, 57))
    shapes = plan(clips.lengths, GRID, seconds=2, shortest=0.2, longest=1.5, shapes=4)
    seen, audio = Counter(), 0
    for batch in labelled_batches(clips, clips.labels, shapes, GRID, seed=(1,), updates=400):
        seen.update((batch.label[:, 0] // 1000).tolist())
        audio = max(audio, batch.wave.size / 16_000)
    assert set(seen) == set(range(57))
    assert max(seen.values()) < 1.2 * min(seen.values())
    assert audio <= 2
    for shape in shapes:
        counts = [seen[clip] for clip in shape.clips]
        assert max(counts) - min(counts) <= 1


def test_crops_lie_anywhere_in_a_clip():
    clips = Memory([32_000] * 4)
    shapes = plan(clips.lengths, GRID, seconds=1, shortest=0.2, longest=0.5, shapes=2)
    batches = list(labelled_batches(clips, clips.labels, shapes, GRID, seed=(1,), updates=200))
    starts = {int(start) for batch in batches for start in batch.label[:, 0] % 1000}
    assert starts == set(range(GRID.frames(32_000) - shapes[0].frames + 1))


def equal(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("done", [0, 1, 13])
def test_a_run_goes_on_with_the_batches_that_it_had_not_seen(done):
    clips = Memory(np.random.default_rng(0).integers(3200, 30_000, 20))
    shapes = plan(clips.lengths, GRID, seconds=1, shortest=0.2, shapes=3)
    settings = {"seed": (3, 4), "updates": 20}
    whole = list(labelled_batches(clips, clips.labels, shapes, GRID, **settings))
    rest = list(labelled_batches(clips, clips.labels, shapes, GRID, done=done, **settings))
    assert len(rest) == 20 - done
    for one, other in zip(whole[done:], rest, strict=True):
        equal(one, other)
    other = labelled_batches(clips, clips.labels, shapes, GRID, seed=(3, 5), updates=20)
    assert any(not np.array_equal(a.label, b.label) for a, b in zip(whole, other, strict=True))


def test_runs_side_by_side_see_their_own_clips_in_one_shape():
    clips = Memory(np.random.default_rng(0).integers(3200, 30_000, 30))
    shapes = plan(clips.lengths, GRID, seconds=1, shortest=0.2, shapes=2)
    members = [frozenset(range(0, 30, 2)), frozenset(range(1, 30, 2)), frozenset(range(30))]
    settings = {"seed": (0,), "updates": 40}
    runs = [labelled_batches(clips, clips.labels, shapes, GRID, only=only, **settings) for only in members]
    batches = list(side_by_side(runs))
    for run, allowed in enumerate(members):
        seen = {int(clip) for batch in batches for clip in batch.label[run, :, 0] // 1000}
        assert seen == set(allowed)
    alone = labelled_batches(clips, clips.labels, shapes, GRID, **settings)
    for batch, one in zip(islice(batches, 9), alone, strict=False):
        equal([field[2] for field in batch], one)
    with pytest.raises(UserError, match="leaves no clips of about"):
        labelled_batches(clips, clips.labels, shapes, GRID, only=frozenset(shapes[0].clips), **settings)


def test_a_plan_holds_the_clips_alone_that_may_be_seen():
    clips = Memory(np.random.default_rng(0).integers(16_000, 30_000, 30))
    shapes = plan(clips.lengths, GRID, only=[3, 29, 17, 4], seconds=2, shapes=2)
    assert sorted(clip for shape in shapes for clip in shape.clips) == [3, 4, 17, 29]
    for batch in labelled_batches(clips, clips.labels, shapes, GRID, seed=(0,), updates=9):
        assert set((batch.label[:, 0] // 1000).tolist()) <= {3, 4, 17, 29}


def test_a_corpus_that_is_too_short_gets_a_sentence():
    with pytest.raises(UserError, match=r"None of 2 clips is as long as 1 s"):
        plan(np.array([15_999, 500]), GRID)
    with pytest.raises(UserError, match=r"holds 2\.0 s of clips of 1 s and more, less than one batch of 175 s"):
        plan(np.array([32_000, 500]), GRID, devices=2)
