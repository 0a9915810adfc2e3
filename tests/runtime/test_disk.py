"""Folders that are there completely or not at all."""

import os
import time

import pytest

from serjax.runtime.disk import atomic_folder


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
