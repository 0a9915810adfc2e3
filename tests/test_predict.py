"""The command line of prediction: JSON where it is piped, a table on a terminal, notes on standard error."""

import json
import subprocess
import sys
from typing import get_args

import fsspec
import numpy as np
import pytest
import soundfile
from fsspec.implementations.memory import MemoryFileSystem
from saved_runs import write_run

import serjax
from serjax.inference.files import Answer
from serjax.models.base import DType
from serjax.predict import PARSER, main
from serjax.runtime.errors import UserError

SCORES = [{"label": "happy", "score": 0.75}, {"label": "sad", "score": 0.25}]


class Ensemble:
    notes = ("A note on the model.",)
    outputs = "softmax"


@pytest.fixture
def answers(monkeypatch):
    """What the ensemble answers, to be filled."""
    found = []
    monkeypatch.setattr("serjax.inference.ensemble.load", lambda *given: Ensemble())
    monkeypatch.setattr("serjax.inference.files.answer", lambda ensemble, clips: iter(found))
    return found


def test_piped_answers_are_json_and_the_rest_is_on_standard_error(answers, capsys):
    answers += [Answer(SCORES, 16000, ()), Answer([], None, ("b.wav: it is empty.",)), Answer(SCORES, 8000, ("Old.",))]
    assert main(["run", "a.wav", "b.wav", "c.wav"]) == 2
    printed = capsys.readouterr()
    assert [json.loads(line) for line in printed.out.splitlines()] == [SCORES, [], SCORES]
    assert printed.err.splitlines() == [
        "A note on the model.",
        "b.wav: it is empty.",
        "Old.",
        "1 clip was resampled from 8000 Hz to 16000 Hz.",
    ]


def test_a_terminal_gets_a_table(answers, capsys, monkeypatch):
    answers.append(Answer(SCORES, 16000, ()))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["run", "a.wav"]) == 0
    assert "happy 75.0%" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["run"], ["run", "a.wav", "--audio", "b.wav"]])
def test_clips_are_named_in_one_way(arguments):
    with pytest.raises(UserError, match="no clip is named, or clips beside --audio and --video"):
        main(arguments)


def test_dtypes_are_those_of_the_models():
    (dtype,) = (action for action in PARSER._actions if action.dest == "dtype")
    assert tuple(dtype.choices) == get_args(DType)


@pytest.mark.parametrize("door", ["predict", "compare", "evaluate"])
def test_help_waits_for_no_large_package(door):
    code = (
        "import sys; from importlib import import_module\n"
        f"try: import_module('serjax.{door}').main(['--help'])\n"
        "except SystemExit: print(sorted({'jax', 'numpy', 'sklearn', 'matplotlib', 'tyro', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of random weights."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    write_run(folder)
    return str(folder)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two sound files and one that is empty."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for name in ("one", "two"):
        soundfile.write(folder / f"{name}.wav", rng.normal(0, 0.1, 6_000), 16_000)
    (folder / "bad.wav").write_bytes(b"")
    return folder


def test_answers_of_a_run_are_those_of_load_and_an_unreadable_clip_gets_none(run, clips, capsys):
    paths = [str(clips / name) for name in ("one.wav", "bad.wav", "two.wav")]
    assert main([run, *paths]) == 2
    printed = capsys.readouterr()
    first, second, third = map(json.loads, printed.out.splitlines())
    assert second == []
    assert [first, third] == serjax.load(run)(paths[::2])
    assert "bad.wav: the file is empty" in printed.err


def test_weights_choose_among_the_folds(run, clips, capsys):
    scores = []
    for weights in (["1", "0"], ["0", "1"], ["1", "1"]):
        assert main([run, str(clips / "one.wav"), "--weights", *weights]) == 0
        scores.append({entry["label"]: entry["score"] for entry in json.loads(capsys.readouterr().out)})
    first, second, both = scores
    assert first != pytest.approx(second, abs=1e-4)
    assert both == pytest.approx({label: (first[label] + second[label]) / 2 for label in first}, abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one.wav", "--weights", "1"], "one for each of the folds 1, 2"),
        (["one.wav", "two.wav", "--attention", "picture.png"], "--attention draws one clip, but 2 are given"),
    ],
)
def test_arguments_that_do_not_fit_the_run_are_refused(run, clips, monkeypatch, arguments, message):
    monkeypatch.chdir(clips)
    with pytest.raises(UserError, match=message):
        main([run, *arguments])


@pytest.fixture
def bucket(clips):
    """The sound files behind URLs."""
    MemoryFileSystem.store.clear()
    fsspec.filesystem("memory").put(str(clips), "/bucket/clips", recursive=True)
    yield "memory://bucket/clips"
    MemoryFileSystem.store.clear()


def test_clips_behind_urls_are_answered_as_those_of_the_disk(run, clips, bucket, capsys):
    assert main([run, f"{bucket}/one.wav", str(clips / "two.wav")]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    model = serjax.load(run)
    assert found == model([str(clips / "one.wav"), str(clips / "two.wav")])
    assert model(f"{bucket}/one.wav") == model(str(clips / "one.wav"))


def test_each_url_that_cannot_be_read_gets_a_sentence_and_the_others_an_answer(run, clips, bucket, capsys, monkeypatch):
    soundfile.write(clips / "slow.wav", np.random.default_rng(1).normal(0, 0.1, 6_000), 8_000)
    fsspec.filesystem("memory").put(str(clips / "slow.wav"), "/bucket/clips/slow.wav")
    for name, content in (("film.mp4", b"film"), ("bad.wav", b"")):
        fsspec.filesystem("memory").pipe(f"/bucket/clips/{name}", content)
    file_system = fsspec.filesystem

    def installed(scheme):
        if scheme == "s3":
            raise ImportError("Install s3fs to access S3")
        return file_system(scheme)

    monkeypatch.setattr(fsspec, "filesystem", installed)
    bad = [f"{bucket}/gone.wav", f"{bucket}/film.mp4", f"{bucket}/bad.wav", "xyz://a/b.wav", "s3://bucket/c.wav"]
    assert main([run, *bad, f"{bucket}/slow.wav"]) == 2
    printed = capsys.readouterr()
    *none, last = (json.loads(line) for line in printed.out.splitlines())
    assert none == [[]] * 5
    with pytest.warns(UserWarning, match="clips of 8000 Hz are resampled"):
        assert last == serjax.load(run)(f"{bucket}/slow.wav")
    gone, film, empty, scheme, package, rate = printed.err.splitlines()
    assert gone.startswith(f"{bad[0]}: it cannot be opened (there is no such file)")
    assert film.startswith(f"{bad[1]}: the sound of videos is read from a disk")
    assert empty.startswith(f"{bad[2]}: the file is empty")
    assert scheme.startswith("xyz://a/b.wav: xyz:// is nothing that fsspec reads")
    assert package.startswith("s3://bucket/c.wav: s3:// is read by s3fs, which is not installed")
    assert rate == "1 clip was resampled from 8000 Hz to 16000 Hz."
