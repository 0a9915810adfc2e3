"""A disk that fills while clips, videos, features or labels are written: one sentence, and nothing is lost."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("full_disk.py")
USES = ("clips", "video", "frozen", "statistics", "frames", "labels")


def outcome(*arguments):
    done = subprocess.run([sys.executable, PROGRAM, *map(str, arguments)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """What happens where no file may become as large as it must."""
    return outcome("limit", tmp_path_factory.mktemp("limited"))


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """What happens on a small disk that something else fills."""
    folder = tmp_path_factory.mktemp("small")
    mount = ["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"there is no command mount: {error}")
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted: {mounted.stderr.strip()}")
    try:
        yield outcome("tmpfs", folder, tmp_path_factory.mktemp("large") / "sounds")
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def check(about, use, reason):
    """Check the sentence, and how much of a second call's work was there already."""
    option = "--out" if use == "labels" else "--data.cache"
    sentence = (
        rf".*/{use}: {reason} \(about [\d.]+ \w+ are needed, [\d.]+ \w+ are free\); make room .* with {option} DIR\."
    )
    assert re.fullmatch(sentence, about["message"])
    if use in ("clips", "video", "frozen"):
        # Rows that were written in order are there; the others' file could not even be laid out.
        assert 4 <= about["computed"] <= 20
    elif use != "labels":
        assert about["computed"] == 24
    assert not [name for name in about["left"] if ".part" in name or "unfinished" in name]


@pytest.mark.parametrize("use", USES)
def test_a_file_that_may_not_grow_gets_a_sentence(limited, use):
    check(limited[use], use, "the file is larger than the file system or the system's limit allows")


@pytest.mark.parametrize("use", USES)
def test_a_full_disk_gets_a_sentence(small_disk, use):
    check(small_disk[use], use, "the disk is full")
