"""Home and cache folders, and outputs of any encoding."""

import contextlib
import io
import sys
from pathlib import Path

import pytest

from serjax.runtime import environment
from serjax.runtime.environment import cache_folder, output_lost, show_any_text, with_home
from serjax.runtime.errors import UserError


def test_a_leading_tilde_is_the_home_folder_after_an_equals_sign_too(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    found = with_home(["--out=~/x", "~/run", "--name=a~b", "--data.root", "~", "plain=~/x"])
    assert found == ["--out=/home/me/x", "/home/me/run", "--name=a~b", "--data.root", "/home/me", "plain=~/x"]


def test_without_a_home_folder_there_is_a_sentence(monkeypatch):
    monkeypatch.setattr(environment.os.path, "expanduser", lambda path: path)
    with pytest.raises(UserError, match=r"--out=~/x: there is no home folder for ~; set HOME"):
        with_home(["--out=~/x"])


def test_a_cache_that_cannot_be_written_gets_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("SERJAX_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == str(tmp_path / "cache")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SERJAX_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"compiled programs cannot be kept there .* set SERJAX_CACHE"):
        cache_folder()


def test_what_an_encoding_does_not_have_is_escaped(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    show_any_text()
    print("f\u00fcr", flush=True)
    assert stream.buffer.getvalue().split() == [b"f\\xfcr"]


def test_an_error_of_a_file_is_not_one_of_the_output():
    assert output_lost(FileNotFoundError(2, "No such file", "x")) is None
    assert output_lost(OSError(5, "Input/output error")) is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_output_is_told_from_other_errors(monkeypatch):
    with contextlib.suppress(OSError), open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OSError, match="No space left") as lost:
            print("an answer", flush=True)
        assert output_lost(lost.value) == "No space left on device"
