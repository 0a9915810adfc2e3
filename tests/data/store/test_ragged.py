"""Ragged arrays on disk: rows of any dtype and shape come back, and writing is resumed wherever it was stopped."""

import contextlib
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serjax.data.store import ragged as module
from serjax.data.store.ragged import Ragged, RaggedWriter, make_once
from serjax.runtime.errors import UserError

DTYPES = st.sampled_from(["<f4", "<f8", "<f2", "|u1", "<u2", "<i4", "<i8"])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3)


class Stopped(Exception):
    """What ends a writer early."""


@st.composite
def items(draw, min_size=0):
    """Items of a ragged array: arrays of one dtype and shape of row, of any number of rows."""
    dtype, shape = draw(DTYPES), draw(SHAPES)
    rows = st.integers(0, 5).flatmap(lambda count: hnp.arrays(dtype, (count, *shape)))
    return dtype, shape, draw(st.lists(rows, min_size=min_size, max_size=8))


def writer(folder, dtype, shape, count, lengths=None):
    lengths = None if lengths is None else np.asarray(lengths, np.int64)
    return RaggedWriter(folder, dtype, shape, items=count, lengths=lengths, option="--data.cache")


def equal(found, arrays):
    assert len(found) == len(arrays)
    for item, array in enumerate(arrays):
        assert found[item].dtype == array.dtype
        assert found[item].shape == array.shape
        assert found[item].tobytes() == array.tobytes()


@given(items(), st.randoms())
def test_items_come_back_in_whatever_order_they_are_appended(tmp_path_factory, drawn, random):
    dtype, shape, arrays = drawn
    folder = tmp_path_factory.mktemp("ragged")
    order = list(range(len(arrays)))
    random.shuffle(order)
    with writer(folder, dtype, shape, len(arrays)) as out:
        for item in order:
            out.write(item, arrays[item], name=f"item {item}")
            if random.random() < 0.5:
                out.step()
        out.step()
        out.finish(total=len(arrays))
    found = Ragged(folder)
    equal(found, arrays)
    assert found.facts == {"total": len(arrays)}
    assert found.columns == ({"name": [f"item {item}" for item in range(len(arrays))]} if arrays else {})
    assert sorted(path.name for path in folder.iterdir()) == ["index.json", "rows.npy"]
    np.testing.assert_array_equal(found.select(order)[:], [row for item in order for row in arrays[item]] or found.rows)
    whole = np.load(folder / "rows.npy")
    assert whole.shape == (sum(map(len, arrays)), *shape)


@given(items(), st.randoms())
def test_items_of_known_lengths_are_written_in_parts_and_lie_in_order(tmp_path_factory, drawn, random):
    dtype, shape, arrays = drawn
    folder = tmp_path_factory.mktemp("ragged")
    parts = []
    for item, array in enumerate(arrays):
        cut = random.randint(0, len(array))
        parts += [(item, 0, array[:cut]), (item, cut, array[cut:])]
    random.shuffle(parts)
    with writer(folder, dtype, shape, len(arrays), [len(array) for array in arrays]) as out:
        for item, first, rows in parts:
            out.write(item, rows, first)
            out.step()
        out.finish()
    found = Ragged(folder)
    equal(found, arrays)
    assert found.rows.tobytes() == b"".join(array.tobytes() for array in arrays)


@given(items(min_size=1), st.booleans(), st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=4))
def test_a_stopped_writer_is_resumed_where_it_was(tmp_path_factory, drawn, known, stops):
    """A stop loses the step that was being made; a kill, after which nothing can be saved, all since the last save."""
    dtype, shape, arrays = drawn
    folder = tmp_path_factory.mktemp("ragged")
    lengths = [len(array) for array in arrays] if known else None

    def attempt(last, killed):
        with writer(folder, dtype, shape, len(arrays), lengths) as out:
            first = out.done
            for item in range(first, len(arrays)):
                out.write(item, arrays[item], **({} if known else {"number": item}))
                if item == last:
                    if killed:
                        out._can_save = False
                    raise Stopped
                out.step()
            out.finish()
        return first

    reached = 0
    for last, killed in stops:
        with contextlib.suppress(Stopped):
            with writer(folder, dtype, shape, len(arrays), lengths) as out:
                assert out.done == reached
            attempt(max(last, reached), killed)
            break  # the last item was not reached, and all is written
        if not killed:
            reached = max(last, reached)
        if reached >= len(arrays):
            break
    if not (folder / "index.json").is_file():
        assert attempt(None, False) == reached
    found = Ragged(folder)
    equal(found, arrays)
    if not known:
        assert found.columns == {"number": list(range(len(arrays)))}


@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_lost_its_end_is_written_again(tmp_path, known):
    arrays = [np.arange(100, dtype="<f4") + item for item in range(5)]
    lengths = [100] * 5 if known else None
    with writer(tmp_path, "<f4", (), 5, lengths) as out:
        for item in range(4):
            out.write(item, arrays[item])
            out.step()
    with (tmp_path / "rows.npy").open("r+b") as file:
        file.truncate(1000)
    with writer(tmp_path, "<f4", (), 5, lengths) as out:
        assert out.done == (0 if known else 2)
        for item in range(out.done, 5):
            out.write(item, arrays[item])
            out.step()
        out.finish()
    equal(Ragged(tmp_path), arrays)


def test_a_marker_that_is_damaged_begins_anew(tmp_path):
    for content in (b"", b"\0" * 20, b"no number"):
        with writer(tmp_path, "<f4", (), 1) as out:
            out.write(0, np.ones(3, "<f4"))
            out.step()
        (tmp_path / "done").write_bytes(content)
        with writer(tmp_path, "<f4", (), 1) as out:
            assert out.done == 0


def test_steps_are_saved_while_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SAVE_SECONDS", 0)
    with writer(tmp_path, "<f4", (), 3) as out:
        for item in range(3):
            assert int((tmp_path / "done").read_text()) == item
            out.write(item, np.ones(3, "<f4"))
            out.step()


def test_rows_that_do_not_fit_are_refused(tmp_path):
    with writer(tmp_path, "<f4", (2,), 2, [1, 2]) as out:
        with pytest.raises(ValueError, match=r"rows of item 0 have the shape \(3,\), not \(2,\)"):
            out.write(0, np.ones((1, 3)))
        with pytest.raises(ValueError, match="item 0 has 1 rows, not 2"):
            out.write(0, np.ones((2, 2)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(room=st.integers(0, 900), known=st.booleans())
def test_what_a_full_disk_held_is_used_at_the_next_start(tmp_path_factory, monkeypatch, room, known):
    folder = tmp_path_factory.mktemp("ragged")
    arrays = [np.full(10 + item, item, "<f4") for item in range(12)]
    lengths = [len(array) for array in arrays] if known else None
    write, left, reached = module._write_all, [room], []

    def failing(file, data, place):
        if left[0] < len(data):  # a part is written
            write(file, data[: left[0]], place)
            raise OSError(28, "No space left on device")
        left[0] -= len(data)
        write(file, data, place)

    def attempt():
        with writer(folder, "<f4", (), 12, lengths) as out:
            reached.append(out.done)
            for item in range(out.done, 12):
                out.write(item, arrays[item])
                out.step()
            out.finish()

    monkeypatch.setattr(module, "_write_all", failing)
    failed = []
    try:
        attempt()
    except UserError as error:
        failed.append(str(error))
    if failed:
        assert "the disk is full (about " in failed[0]
        assert "\n" not in failed[0]
        monkeypatch.setattr(module, "_write_all", write)
        attempt()
        assert reached[1] >= (room // 120 if known else room // 180) - 1
    monkeypatch.undo()
    equal(Ragged(folder), arrays)


def test_too_little_room_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=100))
    with pytest.raises(UserError, match=r"the disk is full \(about 4\.0 kB are needed, 100 bytes are free\)"):
        writer(tmp_path, "<f4", (), 1, [1000])


def fill(folder, count=6, made=None, wait=None):
    with writer(folder, "<i8", (), count) as out:
        for item in range(out.done, count):
            if wait is not None:
                wait.wait(0.02)
            if made is not None:
                made.append(item)
            out.write(item, np.full(item, item))
            out.step()
        out.finish()


def test_two_writers_make_an_array_once(tmp_path):
    made, event = [], threading.Event()
    threads = [
        threading.Thread(target=make_once, args=(tmp_path / "k", lambda folder: fill(folder, 6, made, event), "--out"))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == list(range(6))
    equal(Ragged(tmp_path / "k"), [np.full(item, item) for item in range(6)])


def test_an_array_that_was_finished_but_not_named_is_taken(tmp_path):
    def stopped(folder):
        fill(folder)
        raise Stopped

    with pytest.raises(Stopped):
        make_once(tmp_path / "k", stopped, "--out")
    assert not (tmp_path / "k").exists()
    make_once(tmp_path / "k", lambda folder: pytest.fail("made again"), "--out")
    assert len(Ragged(tmp_path / "k")) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('{"format": 0}', "its format is 0, this version of serjax reads"),
        ('{"format": 1, "facts": {}, "columns": {}, "lengths": [3], "starts": [0]}', "names 3 rows, its file holds 15"),
        ('{"format": 1, "facts": {}, "columns": {}, "lengths": [15], "starts": [4]}', "its file holds 15"),
        ('{"format": 1, "facts": {}, "columns": {"a": []}, "lengths": [15], "starts": [0]}', "differ in length"),
        ("{", "Expecting property name"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(tmp_path, change, message):
    fill(tmp_path)
    (tmp_path / "index.json").write_text(change)
    with pytest.raises(ValueError, match=message):
        Ragged(tmp_path)


def test_an_item_that_there_is_not_is_an_error(tmp_path):
    fill(tmp_path)
    for item in (-1, 6):
        with pytest.raises(IndexError):
            Ragged(tmp_path)[item]
