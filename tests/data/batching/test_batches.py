import gc
import threading
import time
from collections import Counter

import grain
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.data.batching.batches import (
    READ,
    Batch,
    eval_batches,
    read_ahead,
    read_clips,
    stack,
    steps_per_epoch,
    train_batches,
)
from serjax.data.batching.lengths import crop_clip
from serjax.runtime.errors import UserError

few = settings(max_examples=30)


class Memory:
    """A store of clips whose every sample is its own: sample s of clip i is i + s / 1000."""

    def __init__(self, lengths):
        self.lengths = np.array(lengths, np.int64)

    def clip(self, i):
        return (i + np.arange(self.lengths[i]) / 1000).astype(np.float32)

    def __len__(self):
        return len(self.lengths)


@st.composite
def stores(draw):
    clips = Memory(draw(st.lists(st.integers(1, 30), min_size=1, max_size=20)))
    labels = np.array(draw(st.lists(st.integers(0, 3), min_size=len(clips), max_size=len(clips))))
    indices = draw(st.lists(st.sampled_from(range(len(clips))), min_size=1, unique=True))
    return clips, labels, indices


sizes = st.integers(1, 7)
seeds = st.tuples(st.integers(0, 99), st.integers(1, 5), st.integers(1, 30))


def check_rows(batches, clips, labels, size, samples):
    """Check shapes, dtypes and that every row is what it says; return the clips of rows that count."""
    for batch in batches:
        assert batch.wave.shape == (size, samples)
        assert [field.dtype for field in batch[:5]] == [np.float32, np.int32, np.int32, np.float32, np.int32]
        assert all(field.shape == (size,) for field in batch[1:5])
        assert batch[5:] == (None, None)
        np.testing.assert_array_equal(batch.label, labels[batch.clip])
        np.testing.assert_array_equal(batch.length, np.minimum(clips.lengths[batch.clip], samples))
        for wave, length, index in zip(batch.wave, batch.length, batch.clip, strict=True):
            assert not wave[length:].any()
            start = round(1000 * float(wave[0] - np.float32(index)))
            np.testing.assert_array_equal(wave[:length], clips.clip(index)[start : start + length])
    return [int(i) for batch in batches for i in batch.clip[batch.weight > 0]]


@few
@given(stores(), sizes, st.integers(1, 20), seeds)
def test_shuffling_uses_every_clip_once(store, size, samples, seed):
    clips, labels, indices = store
    batches = list(train_batches(clips, labels, indices, batch_size=size, samples=samples, seed=seed))
    assert sorted(check_rows(batches, clips, labels, size, samples)) == sorted(indices)
    assert len(batches) == steps_per_epoch(len(indices), size)


@few
@given(stores(), sizes, st.integers(1, 20), st.sampled_from(["head", "centre"]))
def test_evaluation_keeps_the_order_and_cuts_where_it_is_told(store, size, samples, crop):
    clips, labels, indices = store
    batches = list(eval_batches(clips, labels, indices, batch_size=size, samples=samples, crop=crop))
    assert check_rows(batches, clips, labels, size, samples) == indices
    rows = [(batch.wave[row], batch.length[row]) for batch in batches for row in np.flatnonzero(batch.weight)]
    for index, (wave, length) in zip(indices, rows, strict=True):
        np.testing.assert_array_equal(wave[:length], crop_clip(clips.clip(index), samples, crop))


@few
@given(stores(), sizes, seeds)
def test_only_the_last_batch_is_filled_up_with_its_first_row(store, size, seed):
    clips, labels, indices = store
    *full, last = train_batches(clips, labels, indices, batch_size=size, samples=8, seed=seed)
    assert all(batch.weight.all() for batch in full)
    real = len(indices) - size * len(full)
    np.testing.assert_array_equal(last.weight, [1] * real + [0] * (size - real))
    assert (last.length > 0).all()
    for row in range(real, size):
        assert all(np.array_equal(field[row], field[0]) for field in (last.wave, last.length, last.label, last.clip))


@few
@given(stores(), seeds, st.sampled_from(["shuffle", "balanced"]), st.integers(0, 4), st.integers(0, 8))
def test_threads_change_nothing(store, seed, sampling, threads, ahead):
    clips, labels, indices = store
    read = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(threads, ahead))
    options = {"batch_size": 3, "samples": 5, "seed": seed, "sampling": sampling}
    ours = list(train_batches(clips, labels, indices, **options))
    theirs = list(train_batches(clips, labels, indices, **options, read=read))
    for a, b in zip(ours, theirs, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def epoch(seed, **options):
    clips, labels = Memory(np.arange(40) + 10), np.arange(40) % 4
    batches = list(train_batches(clips, labels, range(40), batch_size=8, samples=10, seed=seed, **options))
    return np.concatenate([batch.clip for batch in batches]), np.concatenate([batch.wave for batch in batches])


class Video:
    """Frames of clips: those of clip i are all i, and it has i of them."""

    def __init__(self):
        self.readers = set()

    def rows(self, clips):
        self.readers.add(threading.current_thread())
        return np.broadcast_to(clips[:, None, None], (len(clips), 4, 2)).astype(np.uint8), clips.astype(np.int32)


@pytest.mark.parametrize("batches", [train_batches, eval_batches])
def test_video_is_read_with_the_clips_in_the_reading_thread(batches):
    clips, video = Memory([5] * 10), Video()
    options = {"seed": (0,)} if batches is train_batches else {}
    found = list(batches(clips, np.zeros(10, int), range(10), batch_size=4, samples=5, frames=video, **options))
    assert len(found) == 3
    for batch in found:
        assert batch.video.shape == (4, 4, 2)
        np.testing.assert_array_equal(batch.video[:, 0, 0], batch.clip)
        np.testing.assert_array_equal(batch.video_length, batch.clip)
    assert threading.main_thread() not in video.readers
    both = stack([found[0], found[1]])
    assert both.video.shape == (2, 4, 4, 2)
    np.testing.assert_array_equal(both.video_length, both.clip)
    alone = stack([found[0]])
    assert alone.video.shape == (1, 4, 4, 2)
    assert np.shares_memory(alone.video, found[0].video)


@pytest.mark.parametrize("sampling", ["shuffle", "balanced"])
def test_order_and_crops_depend_on_every_part_of_the_seed(sampling):
    found = [epoch(seed, sampling=sampling) for seed in [(0, 1, 1), (1, 1, 1), (0, 2, 1), (0, 1, 2), (0, 1, 1)]]
    np.testing.assert_array_equal(found[0][1], found[-1][1])
    assert len({order.tobytes() for order, _ in found}) == 4


def test_crops_start_anywhere_in_a_clip():
    clips = Memory([14])
    starts = Counter()
    for number in range(300):
        (batch,) = train_batches(clips, np.zeros(1, int), [0], batch_size=1, samples=10, seed=(number,))
        starts[round(1000 * float(batch.wave[0, 0]))] += 1
    assert sorted(starts) == [0, 1, 2, 3, 4]
    assert min(starts.values()) > 30


def test_balanced_sampling_draws_each_class_as_often_and_its_clips_alike():
    clips, labels = Memory([5] * 400), np.repeat([0, 1, 2], [300, 90, 10])
    indices = [*range(0, 300, 3), *range(300, 390), *range(390, 400, 2)]
    drawn = [
        i
        for number in range(30)
        for batch in train_batches(
            clips, labels, indices, batch_size=39, samples=5, seed=(number,), sampling="balanced"
        )
        for i in batch.clip
    ]
    assert len(drawn) == 30 * 195
    assert set(drawn) <= set(indices)
    # 1950 of each class are expected, with a standard deviation of 36.
    assert all(abs(count - 1950) < 150 for count in Counter(labels[drawn]).values())
    rare = Counter(i for i in drawn if labels[i] == 2)
    assert len(rare) == 5
    assert max(rare.values()) < 1.3 * min(rare.values())


def test_a_dataset_gives_the_same_epoch_each_time():
    dataset = train_batches(Memory([9] * 10), np.zeros(10, int), range(10), batch_size=4, samples=5, seed=(0,))
    assert len({b"".join(batch.wave.tobytes() for batch in dataset) for _ in range(3)}) == 1


def test_no_clips_give_no_batch():
    assert list(eval_batches(Memory([]), np.zeros(0, int), [], batch_size=4, samples=5)) == []


def test_abandoned_iterators_leave_no_threads():
    clips, labels = Memory([50] * 200), np.zeros(200, int)
    gc.disable()  # dropping the iterator must be enough
    try:
        for number in range(20):
            iterator = iter(train_batches(clips, labels, range(200), batch_size=4, samples=20, seed=(number,)))
            next(iterator)
        del iterator
        give_up = time.monotonic() + 20
        while left := [thread for thread in threading.enumerate() if thread.name.startswith("grain-prefetch")]:
            assert time.monotonic() < give_up, left
            time.sleep(0.01)
    finally:
        gc.enable()


def test_reading_goes_on_ahead_of_the_consumer():
    read = threading.Semaphore(0)

    class Counting(Memory):
        def clip(self, i):
            read.release()
            return super().clip(i)

    iterator = iter(train_batches(Counting([5] * 40), np.zeros(40, int), range(40), batch_size=1, samples=5, seed=(0,)))
    next(iterator)
    assert all(read.acquire(timeout=20) for _ in range(1 + READ.prefetch_buffer_size))


def test_the_next_item_is_made_while_one_is_used():
    made = [threading.Event() for _ in range(4)]

    def items():
        for number in range(3):
            made[number].set()
            yield number
        raise OSError("the disk is gone")

    found = read_ahead(items())
    assert next(found) == 0
    assert made[1].wait(20)
    assert (next(found), next(found)) == (1, 2)
    with pytest.raises(OSError, match="the disk is gone"):
        next(found)
    assert list(read_ahead([])) == []


def test_an_error_of_the_store_reaches_the_consumer():
    class Broken(Memory):
        def clip(self, i):
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(train_batches(Broken([5] * 4), np.zeros(4, int), range(4), batch_size=2, samples=5, seed=(0,)))


@few
@given(st.integers(1, 100), st.integers(1, 100))
def test_steps_hold_all_clips_and_none_is_empty(clips, size):
    steps = steps_per_epoch(clips, size)
    assert (steps - 1) * size < clips <= steps * size


def test_stacked_batches_have_the_folds_in_front():
    clips, labels = Memory([5, 6, 7]), np.array([0, 1, 2])
    pair = [next(iter(eval_batches(clips, labels, order, batch_size=3, samples=6))) for order in ([0, 1, 2], [2, 0])]
    both = stack(pair)
    assert isinstance(both, Batch)
    assert both.wave.shape == (2, 3, 6)
    np.testing.assert_array_equal(both.clip, [[0, 1, 2], [2, 0, 2]])
    np.testing.assert_array_equal(both.weight, [[1, 1, 1], [1, 1, 0]])


class Decoding(Memory):
    """A store that keeps nothing, and notes which thread decodes what."""

    kept = False

    def __init__(self, lengths):
        super().__init__(lengths)
        self.decoded = []

    def clip(self, i):
        if i == 5:
            raise UserError("clip 5 is gone")
        self.decoded.append((i, threading.current_thread().name))
        return super().clip(i)


def test_clips_that_are_not_kept_are_decoded_once_a_batch_by_threads_of_their_own():
    lengths, labels = [9, 4, 7, 12, 3], np.zeros(6, int)
    settings = {"batch_size": 3, "samples": 6, "seed": (1,)}
    clips = Decoding(lengths)
    wanted, found = (list(train_batches(one, labels, range(5), **settings)) for one in (Memory(lengths), clips))
    for ours, theirs in zip(found, wanted, strict=True):
        for part, other in zip(ours[:5], theirs[:5], strict=True):
            np.testing.assert_array_equal(part, other)
    # The row that fills up the second batch is decoded with the one that it repeats.
    assert sorted(i for i, _ in clips.decoded) == list(range(5))
    assert all(name.startswith("decoding") for _, name in clips.decoded)
    clips.decoded.clear()
    read = [clip.tolist() for clip in read_clips(clips, iter([2, 0, 2]))]
    assert read == [Memory(lengths).clip(i).tolist() for i in (2, 0, 2)]
    assert sorted(i for i, _ in clips.decoded) == [0, 2]


def test_a_recording_that_is_gone_reaches_the_consumer_as_a_sentence():
    batches = train_batches(Decoding([3] * 6), np.zeros(6, int), range(6), batch_size=2, samples=2, seed=(0,))
    with pytest.raises(UserError) as caught:
        list(read_ahead(batches))
    # Grain adds a note to the error, which is no part of its text.
    assert str(caught.value) == "clip 5 is gone"
