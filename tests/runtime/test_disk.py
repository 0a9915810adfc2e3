"""Folders that are there completely or not at all, and the sentences where they cannot be."""

import errno
import logging
import os
import threading
import time

import filelock
import pytest

from serjax.runtime.disk import atomic_folder, link, make_once, unwritable


def test_a_folder_appears_at_the_end(tmp_path):
    target = tmp_path / "new/target"
    with atomic_folder(target) as folder:
        (folder / "file").write_text("content")
        assert not target.exists()
    assert (target / "file").read_text() == "content"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_nothing(tmp_path, error):
    def write():
        with atomic_folder(tmp_path / "target") as folder:
            (folder / "file").write_text("content")
            raise error

    with pytest.raises(error):
        write()
    assert list(tmp_path.iterdir()) == []


def test_who_comes_first_stays(tmp_path):
    with atomic_folder(tmp_path / "target") as slow:
        (slow / "file").write_text("second")
        with atomic_folder(tmp_path / "target") as fast:
            (fast / "file").write_text("first")
    assert (tmp_path / "target/file").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("hours", "stays"), [(0.5, True), (2.0, False)])
def test_what_a_kill_left_is_removed_when_nobody_writes_any_more(tmp_path, hours, stays):
    left, other = tmp_path / ".target.unfinished-1", tmp_path / ".other.unfinished-1"
    old = time.time() - 3600 * hours
    for folder in (left, other):
        folder.mkdir()
        (folder / "file").touch()
        os.utime(folder / "file", (old, old))
        os.utime(folder, (old, old))
    with atomic_folder(tmp_path / "target"):
        pass
    assert left.exists() == stays
    assert other.exists()


def test_an_error_of_the_disk_is_raised(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), atomic_folder(tmp_path / "file/target"):
        pass


def write_two(folder):
    (folder / "first").touch()
    (folder / "last").touch()


def test_a_folder_is_made_once(tmp_path):
    made = []
    for _ in range(2):
        make_once(tmp_path / "new/k", lambda folder: (made.append(folder), write_two(folder)), "--out", "last")
    assert [folder.name for folder in made] == ["k.part"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [".k.lock", "k"]


def test_what_a_stopped_call_left_is_given_to_the_next_one(tmp_path):
    def stopped(folder):
        (folder / "first").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_once(tmp_path / "k", stopped, "--out", "last")
    seen = []
    make_once(tmp_path / "k", lambda folder: seen.extend(folder.iterdir()), "--out", "last")
    assert [path.name for path in seen] == ["first"]


@pytest.mark.parametrize(("days", "stays"), [(6.0, True), (8.0, False)])
def test_what_nobody_goes_on_with_is_removed_after_a_week(tmp_path, days, stays):
    left, old = tmp_path / "other.part", time.time() - 86_400 * days
    left.mkdir()
    (left / "rows.npy").touch()
    os.utime(left / "rows.npy", (old, old))
    os.utime(left, (old, old))
    make_once(tmp_path / "k", write_two, "--out", "last")
    assert left.exists() == stays


def test_a_call_waits_for_the_process_that_makes_the_folder(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "serjax"), filelock.FileLock(tmp_path / ".k.lock") as lock:
        waiting = threading.Thread(target=make_once, args=(tmp_path / "k", write_two, "--out", "last"))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        lock.release()
        waiting.join()
    assert "k: another process is making it; this one waits." in caplog.text
    assert (tmp_path / "k/last").exists()


def test_what_cannot_be_made_gets_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    for target in (tmp_path / "file/k", tmp_path / "file/deep/k"):
        with pytest.raises(Exception, match=r"cannot be written \(.*\); choose another folder with --out DIR\.$"):
            make_once(target, write_two, "--out", "last")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "your share of the disk is full"),
        (errno.EFBIG, "the file is larger than the file system or the system's limit allows"),
    ],
)
def test_a_disk_without_room_is_told_with_sizes(tmp_path, code, reason):
    error = str(unwritable(tmp_path / "k", OSError(code, "text"), "--out", 3 * 10**6))
    assert error.startswith(f"{tmp_path}/k: {reason} (about 3.0 MB are needed, ")
    assert error.endswith(" are free); make room or choose a folder on another disk with --out DIR.")


def test_file_is_linked_and_copied_where_that_cannot_be(tmp_path, monkeypatch):
    (tmp_path / "one").write_text("content")
    link(tmp_path / "one", tmp_path / "two")
    assert os.path.samefile(tmp_path / "one", tmp_path / "two")

    def refuse(*_):
        raise OSError(errno.EXDEV, "no links between disks")

    monkeypatch.setattr(os, "link", refuse)
    link(tmp_path / "one", tmp_path / "three")
    assert (tmp_path / "three").read_text() == "content"
    assert not os.path.samefile(tmp_path / "one", tmp_path / "three")
