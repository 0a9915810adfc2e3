"""Live answers are those of the timeline, however the sound is cut into chunks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from saved_runs import write_run

from serjax.audio.capture import Captured
from serjax.audio.stream import open_stream
from serjax.inference.live import LiveStream, follow
from serjax.inference.load import load
from serjax.inference.windows import slide
from serjax.models.video import Video
from serjax.runtime.errors import UserError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_run(folder, max_seconds=0.5)
    return load(folder)


def sound(samples, channels=1, dtype=np.float32):
    wave = np.random.default_rng(0).normal(0, 0.1, (samples, channels))
    return wave.astype(np.float32) if dtype is np.float32 else (wave * 2**15).astype(dtype)


def cut(wave, sizes):
    """Return a wave in chunks of these sizes, again and again."""
    chunks, place = [], 0
    while place < len(wave):
        chunks.append(wave[place : place + sizes[len(chunks) % len(sizes)]])
        place += len(chunks[-1])
    return chunks


def pushed(stream, chunks):
    return [row for chunk in chunks for row in stream.push(chunk)] + stream.flush()


def of_timeline(rows, window, end):
    """Leave out early answers, for windows that are not full before the sound ends."""
    return [row for row in rows if row.end - row.start > window - 1e-9 or row.end > end - 1e-9]


def assert_same(rows, others):
    assert [row[:3] for row in rows] == [row[:3] for row in others]
    np.testing.assert_allclose([row.score for row in rows], [row.score for row in others], rtol=0, atol=1e-5)
    for one, other in zip(rows, others, strict=True):
        assert one.uncertainty == pytest.approx(other.uncertainty, abs=1e-5)


@pytest.mark.parametrize("rate", [16_000, 44_100, 8_000])
@pytest.mark.parametrize(("channels", "dtype"), [(1, np.float32), (2, np.int16)])
def test_a_stream_gives_the_rows_of_the_timeline(model, rate, channels, dtype):
    wave = sound(round(1.33 * rate), channels, dtype)
    stream, line = model.stream(rate, 0.4, 0.15), model.timeline((wave, rate), 0.4, 0.15)
    assert (stream.window, stream.hop, stream.labels) == (line.window, line.hop, line.labels)
    rows = pushed(stream, cut(wave if channels > 1 else wave[:, 0], [700, 1, 3_000]))
    assert_same(of_timeline(rows, 0.4, line.rows[-1].end), line.rows)
    early = rows[: len(rows) - len(line.rows)]
    assert [(row.start, row.end) for row in early] == [(0, 0.15), (0, 0.3)]


@settings(max_examples=60)
@given(
    samples=st.integers(3, 30_000),
    rate=st.sampled_from([16_000, 44_100, 11_025]),
    channels=st.integers(1, 3),
    sizes=st.lists(st.integers(1, 9_000), min_size=1, max_size=5),
    window=st.integers(400, 8_000),
    share=st.floats(0.05, 1),
)
def test_windows_are_those_of_the_timeline_for_any_chunks(model, samples, rate, channels, sizes, window, share):
    hop = max(1, round(window * share))
    wave = sound(samples, channels)
    with open_stream((wave, rate)) as opened:
        expected = [one for one in slide(opened.blocks, window, hop) if one.wave.shape[1] >= model.min_samples]
    stream = model.stream(rate, window / 16_000, hop / 16_000)
    found = [one for chunk in cut(wave, sizes) for one in stream.feed(chunk)]
    total = round(16_000 * stream.seconds)
    found += stream.finish()
    end = max([total, *(one.start + one.wave.shape[1] for one in found)])
    full = [one for one in found if one.wave.shape[1] == window or one.start + one.wave.shape[1] == end]
    assert [one.start for one in full] == [one.start for one in expected]
    for one, other in zip(full, expected, strict=True):
        np.testing.assert_array_equal(one.wave, other.wave)
    early = [one for one in found if not any(one is other for other in full)]
    assert all(one.start == 0 and one.wave.shape[1] % hop == 0 for one in early)


def test_a_buffer_may_be_used_again(model):
    wave, stream, buffer, rows = sound(16_000)[:, 0], model.stream(16_000, 0.5, 0.5), np.zeros(4_000, np.float32), []
    for start in range(0, len(wave), 4_000):
        buffer[:] = wave[start : start + 4_000]
        rows += stream.push(buffer)
        buffer[:] = np.nan
    assert_same(rows, model.timeline((wave, 16_000), 0.5, 0.5).rows)


def test_an_early_answer_is_for_what_there_is(model):
    wave = sound(8_000)[:, 0]
    stream = model.stream(16_000, 0.5, 0.2)
    (early,) = stream.push(wave[:4_000])
    expected = model.timeline((wave[:3_200], 16_000)).rows
    assert_same([early], expected)


def test_memory_holds_a_window_whatever_has_come(model):
    stream = model.stream(16_000, 0.5, 0.25)
    for _ in range(40):
        stream.feed(sound(4_000)[:, 0])
        assert len(stream._held) <= 8_000 + 4_000
    assert stream.seconds == 10


def test_a_stream_begins_anew_when_it_was_flushed(model):
    stream, wave = model.stream(44_100), sound(30_000)[:, 0]
    first, second = (pushed(stream, cut(wave, [5_000])) for _ in range(2))
    assert_same(first, second)
    assert stream.flush() == []
    stream.push(sound(100, 2))
    assert stream.flush() == []  # too short for the model


def test_shapes_and_types(model):
    stream = model.stream(16_000)
    stream.push(np.zeros((1, 2), np.int16))  # fewer samples than channels
    with pytest.raises(UserError, match="a chunk has 1 channels, those before 2; give as many"):
        stream.push(np.zeros(10, np.float32))
    for chunk, message in (
        (np.zeros((2, 4_000), np.float32), r"the shape \[2, 4000\]; give \[samples\], or \[samples, channels\]"),
        (np.zeros((2, 2, 2), np.float32), r"the shape \[2, 2, 2\]"),
        (np.zeros(3, complex), "its type is complex128; give floats"),
        (np.array([0, np.nan]), "samples from 1.000 s are NaN or infinite"),
    ):
        own = model.stream(16_000)
        own.push(np.zeros(15_999, np.float32))
        with pytest.raises(UserError, match=message):
            own.push(chunk)


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_must_be_one(model, rate):
    with pytest.raises(UserError, match=r"rate: got .*; give a positive number of Hz"):
        model.stream(rate)


def test_windows_that_cannot_be_are_refused(model, tmp_path):
    with pytest.raises(UserError, match="window: got 4 s"):
        model.stream(16_000, 4)
    write_run(tmp_path, Video())
    with pytest.raises(UserError, match="this model takes video"):
        load(tmp_path).stream(16_000)


def test_after_a_warm_up_nothing_is_compiled(model):
    stream = LiveStream(model, 16_000, 0.5, 0.1)
    stream.warm_up()
    compiled = model._logits._cache_size()
    pushed(stream, cut(sound(16_000)[:, 0], [1_600]))
    assert model._logits._cache_size() == compiled


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_the_newest_window_is_answered_and_the_others_are_counted(model):
    clock, stream, wave = Clock(), model.stream(16_000, 0.5, 0.25), sound(40_000)

    def pieces():
        # 0.25 s, then all of a second, then the rest.
        for first, last, lost in ((0, 4_000, 0), (4_000, 20_000, 2), (20_000, 21_000, 0), (21_000, 40_000, 0)):
            clock.now = last / 16_000 + 0.125
            yield Captured(wave[first:last], last / 16_000, lost)

    found = list(follow(stream, pieces(), clock))
    assert [(one.answer.start, one.answer.end, one.skipped, one.lost) for one in found] == [
        (0, 0.25, 0, 0),
        (0.75, 1.25, 3, 2),
        (2, 2.5, 4, 0),
    ]
    assert [one.delay for one in found] == pytest.approx([0.125] * 3)
    own = 10 * np.log10(np.mean(np.square(wave[:4_000].astype(np.float64))))
    assert found[0].level == pytest.approx(own, abs=0.01)
    (expected,) = model.timeline((wave[12_000:20_000], 16_000)).rows
    np.testing.assert_allclose(found[1].answer.score, expected.score, rtol=0, atol=1e-5)


def test_the_end_of_the_sound_is_answered(model):
    wave = np.zeros((9_000, 1), np.float32)
    clock = Clock()
    found = list(follow(model.stream(16_000, 0.5, 0.5), iter([Captured(wave, 0.0)]), clock))
    assert [(one.answer.start, one.answer.end) for one in found] == [(0, 0.5), (0.0625, 0.5625)]
    assert found[0].level == -np.inf
