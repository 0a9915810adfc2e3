"""Channels of training batches: the seed decides them, codecs are read in their place, babble is of the own fold."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from serjax.audio.config import AugmentConfig
from serjax.data.batching.batches import train_batches
from serjax.data.batching.channel import Channel, amid

CLIPS, SAMPLES = 12, 40


class Memory:
    """Clips of noise, each of its own length, and which of them were read."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.waves = [rng.normal(size=30 + 3 * i).astype(np.float32) for i in range(CLIPS)]
        self.lengths = np.array([len(wave) for wave in self.waves], np.int64)
        self.asked = set()

    def clip(self, i):
        self.asked.add(int(i))
        return self.waves[i]

    def __len__(self):
        return CLIPS


class Decoded(Memory):
    """The same, decoded whenever they are read."""

    kept = False


def epoch(clips, channel, indices=range(CLIPS), *, seed=(0, 0, 1, 1), **options):
    options = {"batch_size": 4, "samples": SAMPLES, **options}
    labels = np.arange(CLIPS, dtype=np.int32) % 3
    return list(train_batches(clips, labels, indices, seed=seed, channel=channel, **options))


def waves(batches):
    return np.concatenate([batch.wave for batch in batches])


def channel(coded=(), **augment):
    names = ("telephone", "mp3", "opus")[: len(coded)]
    return Channel(AugmentConfig(codec=names, **augment), tuple(coded))


def test_order_and_crops_are_those_of_training_without_a_channel():
    plain, changed = epoch(Memory(), None), epoch(Memory(), channel(babble_p=1.0))
    for one, other in zip(plain, changed, strict=True):
        np.testing.assert_array_equal(one.clip, other.clip)
        np.testing.assert_array_equal(one.length, other.length)
        assert not np.allclose(one.wave, other.wave)
        behind = np.arange(SAMPLES) >= other.length[:, None]
        assert not other.wave[behind].any()
    quiet = epoch(Memory(), channel([Memory(1)], codec_p=0.0))
    np.testing.assert_array_equal(waves(plain), waves(quiet))


def test_the_seed_decides_and_an_epoch_goes_on_where_it_was_stopped():
    both = channel([Memory(1), Memory(2)], babble_p=0.5)
    once, again = epoch(Memory(), both), epoch(Memory(), both)
    np.testing.assert_array_equal(waves(once), waves(again))
    np.testing.assert_array_equal(waves(once[1:]), waves(epoch(Memory(), both, first=1)))
    for seed in ((1, 0, 1, 1), (0, 1, 1, 1), (0, 0, 2, 1), (0, 0, 1, 2)):
        assert not np.array_equal(waves(once), waves(epoch(Memory(), both, seed=seed)))


def test_processes_that_read_a_part_of_the_rows_read_the_same():
    both = channel([Memory(1)], babble_p=0.5)
    whole = epoch(Memory(), both)
    halves = [waves(epoch(Memory(), both, rows=rows)) for rows in (slice(0, 2), slice(2, 4))]
    np.testing.assert_array_equal(waves(whole).reshape(-1, 2, 2, SAMPLES)[:, 0].reshape(-1, SAMPLES), halves[0])
    np.testing.assert_array_equal(waves(whole).reshape(-1, 2, 2, SAMPLES)[:, 1].reshape(-1, SAMPLES), halves[1])


def test_rows_come_from_the_stores_of_codecs_as_often_as_asked_for():
    stores = [Memory(seed) for seed in range(4)]
    source, counts = channel(stores[1:], codec_p=0.6), np.zeros(4)
    for number in range(60):
        for batch in epoch(stores[0], source, samples=200, seed=(0, 0, 1, number)):
            for wave, clip, length in zip(batch.wave, batch.clip, batch.length, strict=True):
                same = [np.array_equal(store.waves[clip], wave[:length]) for store in stores]
                assert sum(same) == 1
                counts += same
    share = counts / counts.sum()
    # 720 rows: five standard deviations are below 0.1.
    np.testing.assert_allclose(share, [0.4, 0.2, 0.2, 0.2], atol=0.09)


@settings(max_examples=20)
@given(st.sets(st.integers(0, CLIPS - 1), min_size=1), st.integers(0, 99), st.sampled_from(["shuffle", "balanced"]))
def test_babble_reads_clips_of_the_training_part_alone(indices, seed, sampling):
    stores = [Memory(), Memory(1)]
    source = channel(stores[1:], babble_p=1.0, codec_p=0.5)
    epoch(stores[0], source, sorted(indices), seed=(seed, 0, 1, 1), sampling=sampling)
    assert stores[0].asked | stores[1].asked <= indices


def test_a_fold_of_one_clip_has_no_babble():
    babble = channel(babble_p=1.0)
    np.testing.assert_array_equal(waves(epoch(Memory(), babble, [3])), waves(epoch(Memory(), None, [3])))


def test_voices_are_other_clips_than_the_rows_own():
    drawn = channel(babble_p=1.0).draw(np.random.default_rng(0), np.arange(CLIPS))
    assert (drawn.voices != np.arange(CLIPS)[:, None]).all()
    assert set(drawn.spoken.tolist()) <= {3, 4, 5, 6, 7}
    assert ((drawn.snr >= 13) & (drawn.snr <= 20)).all()


def test_stores_that_keep_no_clips_give_the_same_rows():
    kept, read = (waves(epoch(kind(), channel([kind(1)], babble_p=0.7))) for kind in (Memory, Decoded))
    np.testing.assert_array_equal(kept, read)


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 5), st.floats(-5, 40), st.integers(0, 99))
def test_babble_lies_at_its_snr_below_the_clip(length, voices, snr, seed):
    rng = np.random.default_rng(seed)
    row = rng.normal(size=length).astype(np.float32)
    others = [rng.normal(size=rng.integers(1, 80)).astype(np.float32) * 10 ** rng.uniform(-2, 1) for _ in range(voices)]
    added = amid(row, others, rng.random(voices), snr).astype(np.float64) - row
    assume(np.any(added))  # voices of equal power can cancel each other in a single sample
    found = 10 * np.log10(np.sum(row.astype(np.float64) ** 2) / np.sum(added**2))
    assert found == pytest.approx(snr, abs=0.2)


def test_each_voice_is_as_loud_and_starts_over_at_its_end():
    row = np.ones(8, np.float32)
    one, loud = np.array([1, -1, 1, -1], np.float32), np.array([0, 30], np.float32)
    added = amid(row, [one, loud], np.array([0.25, 0.5]), 0.0) - row
    expected = np.tile([-1, 1], 4) + np.tile([np.sqrt(2), 0], 4)
    np.testing.assert_allclose(added, expected * np.sqrt(8 / np.sum(expected**2)), rtol=1e-5)


def test_silence_gets_no_babble_and_silent_voices_none():
    row = np.ones(8, np.float32)
    assert amid(row, [np.zeros(5, np.float32)], np.zeros(1), 10.0) is row
    silent = np.zeros(8, np.float32)
    assert amid(silent, [row], np.zeros(1), 10.0) is silent
