"""The command line of prediction: JSON or CSV where it is piped, a table on a terminal, notes on standard error."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import fsspec
import numpy as np
import pytest
import soundfile
from fsspec.implementations.memory import MemoryFileSystem
from saved_runs import write_run

import serjax
from serjax.data.folds.fold import Fold, save_folds
from serjax.data.store.clips import open_store
from serjax.data.utterance import Utterance
from serjax.inference.files import Answer
from serjax.models.base import DType
from serjax.predict import PARSER, main
from serjax.runtime.errors import UserError

FAULTS = Path(__file__).parents[1] / "../shared/faults"

SCORES = [{"label": "happy", "score": 0.75}, {"label": "sad", "score": 0.25}]


class Ensemble:
    notes = ("A note on the model.",)
    outputs = "softmax"
    labels = ("happy", "sad")
    folds = (1, 2)
    max_seconds, crop, highpass = 3.0, "head", None

    def check_coverage(self, coverage):
        assert coverage == 0.9


@pytest.fixture
def answers(monkeypatch):
    """What the ensemble answers, to be filled."""
    found = []
    monkeypatch.setattr("serjax.inference.load.load", lambda source, **given: Ensemble())
    monkeypatch.setattr("serjax.inference.files.answer", lambda ensemble, clips, *options: iter(found))
    return found


def test_piped_answers_are_json_and_the_rest_is_on_standard_error(answers, capsys):
    answers += [
        Answer(SCORES, 16000, (), 2.0, length=2.0),
        Answer([], None, ("b.wav: it is empty.",)),
        Answer(SCORES, 8000, ("Old.",), 3.0, length=4.5, offset=0.3, uncertainty=0.123456),
    ]
    assert main(["run", "a.wav", "b.wav", "c.wav"]) == 2
    printed = capsys.readouterr()
    assert [json.loads(line) for line in printed.out.splitlines()] == [
        {"clip": "a.wav", "scores": SCORES, "heard_s": 2.0, "uncertainty": None},
        {"clip": "b.wav", "scores": [], "heard_s": None, "uncertainty": None},
        {"clip": "c.wav", "scores": SCORES, "heard_s": 3.0, "uncertainty": 0.1235},
    ]
    assert printed.err.splitlines() == [
        "A note on the model.",
        "b.wav: it is empty.",
        "Old.",
        "1 clip was cut: this model hears the first 3 s of a clip (heard_s).",
        "1 clip was resampled from 8000 Hz to 16000 Hz.",
        "1 of the clips have a DC offset above 20% of their RMS (c.wav), which the model hears; --highpass 20 removes "
        "it.",
    ]


def test_csv_has_a_column_a_class(answers, capsys):
    answers += [Answer(SCORES[::-1], 16000, (), 1.23456, length=2.0, uncertainty=0.5), Answer([], None, ())]
    assert main(["run", 'a, "b"\x1b.wav', "c.wav", "--format", "csv"]) == 2
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert rows == [
        {
            "clip": 'a, "b"\\x1b.wav',
            "label": "sad",
            "heard_s": "1.235",
            "uncertainty": "0.5",
            "happy": "0.75",
            "sad": "0.25",
        },
        {"clip": "c.wav", "label": "", "heard_s": "", "uncertainty": "", "happy": "", "sad": ""},
    ]


def test_a_terminal_gets_a_table(answers, capsys, monkeypatch):
    answers += [Answer(SCORES, 16000, (), heard=2.5, uncertainty=0.25), Answer([], None, ())]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    long = f"{'folder/' * 12}a.wav"
    assert main(["run", long, "b.wav"]) == 2
    printed = capsys.readouterr().out
    for text in ("happy 75.0%", "0.250", "2.5", "unreadable", "a.wav"):
        assert text in printed


def test_sets_are_in_every_format(answers, capsys, monkeypatch):
    answers += [Answer(SCORES, 16000, (), 2.0, length=2.0, set=("happy", "sad")), Answer([], None, ())]
    command = ["run", "a.wav", "b.wav", "--coverage", "0.9"]
    assert main([*command, "--json"]) == 2
    assert [json.loads(line)["set"] for line in capsys.readouterr().out.splitlines()] == [["happy", "sad"], []]
    assert main([*command, "--format", "csv"]) == 2
    assert [row["set"] for row in csv.DictReader(capsys.readouterr().out.splitlines())] == ["happy|sad", ""]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(command) == 2
    shown = capsys.readouterr().out
    assert "set" in shown
    assert "happy, sad" in shown


@pytest.mark.parametrize("arguments", [["run"], ["run", "a.wav", "--audio", "b.wav"]])
def test_clips_are_named_in_one_way(arguments):
    with pytest.raises(UserError, match="give clips, or one clip by --audio and --video, and not both"):
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
    assert (second["scores"], second["heard_s"]) == ([], None)
    assert [first["scores"], third["scores"]] == serjax.load(run)(paths[::2])
    assert (first["clip"], first["heard_s"]) == (paths[0], 6_000 / 16_000)
    assert "bad.wav: the file is empty" in printed.err


def test_weights_choose_among_the_folds(run, clips, capsys):
    scores = []
    for weights in (["1", "0"], ["0", "1"], ["1", "1"]):
        assert main([run, str(clips / "one.wav"), "--weights", *weights]) == 0
        scores.append({entry["label"]: entry["score"] for entry in json.loads(capsys.readouterr().out)["scores"]})
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
    found = [json.loads(line)["scores"] for line in capsys.readouterr().out.splitlines()]
    model = serjax.load(run)
    assert found == model([str(clips / "one.wav"), str(clips / "two.wav")])
    assert model(f"{bucket}/one.wav") == model(str(clips / "one.wav"))


def test_each_url_that_cannot_be_read_gets_a_sentence_and_the_others_an_answer(
    run, tmp_path, bucket, capsys, monkeypatch
):
    soundfile.write(tmp_path / "slow.wav", np.random.default_rng(1).normal(0, 0.1, 3_000), 8_000)
    fsspec.filesystem("memory").put(str(tmp_path / "slow.wav"), "/bucket/clips/slow.wav")
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
    *none, last = (json.loads(line)["scores"] for line in printed.out.splitlines())
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


def test_folders_and_lists_name_clips_and_errors_advise_nothing_on_training(run, clips, capsys):
    (clips / "list.csv").write_text("path,label\ntwo.wav,sad\n")
    assert main([run, str(clips), f"@{clips / 'list.csv'}", "--json"]) == 2
    printed = capsys.readouterr()
    names = [json.loads(line)["clip"] for line in printed.out.splitlines()]
    assert names == ["bad.wav", "one.wav", str(clips / "two.wav"), str(clips / "two.wav")]
    assert "columns not used: label." in printed.err
    assert "bad.wav: the file is empty (0 bytes); get it again." in printed.err
    assert "--data" not in printed.err
    assert "leave" not in printed.err


def test_a_wav_that_breaks_off_is_answered_and_told(run, clips, tmp_path, capsys):
    (tmp_path / "cut.wav").write_bytes((clips / "one.wav").read_bytes()[: 44 + 2 * 5_000])
    assert main([run, str(tmp_path / "cut.wav")]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["heard_s"] == round(5_000 / 16_000, 3)
    assert "cut.wav: it breaks off 0.062 s before the end that its header gives; the rest is answered." in printed.err


def test_a_filter_changes_what_an_offset_did(run, clips, tmp_path, capsys):
    samples, rate = soundfile.read(clips / "one.wav")
    soundfile.write(tmp_path / "dc.wav", samples * 0.5 + 0.2, rate)
    soundfile.write(tmp_path / "none.wav", samples * 0.5, rate)
    answers = {}
    for options in ((), ("--highpass", "20")):
        assert main([run, str(tmp_path), *options]) == 0
        printed = capsys.readouterr()
        answers[options] = [
            {entry["label"]: entry["score"] for entry in json.loads(line)["scores"]}
            for line in printed.out.splitlines()
        ]
        assert ("DC offset above 20% of their RMS (dc.wav)" in printed.err) == (not options)
    shifted, plain = answers["--highpass", "20"]
    assert shifted == pytest.approx(plain, abs=1e-4)


def test_a_clip_that_the_run_has_trained_on_is_told_by_its_samples(run, clips, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    utterances = [Utterance(f"voice/{name}", clips / f"{name}.wav", "sad") for name in ("one", "two")]
    store = open_store(utterances, tmp_path / "store", skip_bad=False)
    fold = Fold(1, (0,), (), (1,))
    save_folds(folder / "folds.json", (fold,), utterances, kind="files", seed=0, hashes=store.hashes)
    shutil.copy(clips / "one.wav", tmp_path / "renamed.wav")
    assert main([str(folder), str(tmp_path / "renamed.wav"), str(clips / "two.wav")]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "trained on" in line]
    assert line.startswith(
        f"1 of the clips holds samples that this run has trained on ({tmp_path}/renamed.wav is voice/one; folds 1)"
    )


def test_a_clip_longer_than_the_window_is_answered_by_the_mean_over_windows_or_by_its_head(run, tmp_path, capsys):
    wave = np.random.default_rng(2).normal(0, 0.1, 20_000).astype(np.float32)  # windows of 0.5 s
    soundfile.write(tmp_path / "long.wav", wave, 16_000, subtype="FLOAT")
    found = {}
    for options in ((), ("--head",)):
        assert main([run, str(tmp_path / "long.wav"), *options]) == 0
        printed = capsys.readouterr()
        (answer,) = map(json.loads, printed.out.splitlines())
        found[options] = {entry["label"]: entry["score"] for entry in answer["scores"]}
        assert answer["heard_s"] == (0.5 if options else 1.25)
        said = "mean over windows; --head hears the stretch alone that it was trained on."
        assert (said in printed.err) == (not options)
        assert ("1 clip was cut: this model hears the first 0.5 s" in printed.err) == bool(options)
    model = serjax.load(run)
    parts = [(wave[start : start + 8_000], 16_000) for start in (0, 6_000, 12_000)]
    each = [{entry["label"]: entry["score"] for entry in scores} for scores in model(parts)]
    assert found[()] == pytest.approx({label: sum(one[label] for one in each) / 3 for label in each[0]}, abs=1e-5)
    assert found["--head",] == pytest.approx(each[0], abs=1e-5)


def test_whole_clips_are_no_option_of_a_run(run, clips):
    with pytest.raises(UserError, match=r"these models were trained on 0.5 s of a clip at most"):
        main([run, str(clips / "one.wav"), "--whole"])


def test_raw_and_chosen_classes_are_those_of_load(clips, tmp_path, capsys):
    run, clip = tmp_path / "run", str(clips / "one.wav")
    write_run(run, calibration=[(3.0, (0.5,) * 20)] * 2)
    for options, given in (
        ([], {}),
        (["--raw"], {"raw": True}),
        (["--only", "sad,angry"], {"only": ["angry", "sad"]}),
        (["--only", "sad, angry", "--raw"], {"only": ["angry", "sad"], "raw": True}),
    ):
        assert main([str(run), clip, *options]) == 0
        assert json.loads(capsys.readouterr().out)["scores"] == serjax.load(run, **given)(clip)
    assert main([str(run), clip, "--coverage", "0.9"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["set"][0] == answer["scores"][0]["label"]
    with pytest.raises(UserError, match="the model has no class 'happ'; did you mean happy"):
        main([str(run), clip, "--only", "happ,sad"])
    with pytest.raises(UserError, match=r"coverage: got 0\.99, but the validation clips are too few"):
        main([str(run), clip, "--coverage", "0.99"])


def test_bad_files_of_every_kind_leave_the_others_their_answers(run, clips, tmp_path, capsys):
    wave = np.random.default_rng(0).normal(0, 0.1, 8_000).astype(np.float32)
    for name, samples in (("huge", 1e20 * wave), ("silent", 0 * wave), ("scaled", 32_768 * wave)):
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000, subtype="FLOAT")
    (tmp_path / "lfs.wav").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (tmp_path / "film.flv").write_bytes(b"FLV\x01\x05\0\0\0\x09" + bytes(range(256)))
    odd = tmp_path / "odd\udcff.wav"
    odd.write_bytes((clips / "one.wav").read_bytes())
    names = ["huge.wav", "silent.wav", "scaled.wav", "lfs.wav", "film.flv", odd.name]
    assert main([run, *(str(tmp_path / name) for name in names), "--format", "json"]) == 2
    printed = capsys.readouterr()
    answered = [bool(json.loads(line)["scores"]) for line in printed.out.splitlines()]
    assert answered == [False, True, True, False, False, True]
    for said in ("its samples reach 3.9e+19", "it is silent", "where full scale is 1", "a pointer of Git LFS"):
        assert said in printed.err


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the inputs that failed are not here")
def test_what_was_heard_of_clips_longer_than_a_run_hears(run, capsys, monkeypatch):
    clip = str(FAULTS / "78_first_seconds_only/sad_then_happy.wav")
    length = soundfile.info(clip).duration
    for options, heard, said in (
        ([], length, "1 clip was longer than the 0.5 s that this model hears at once, and answered by the mean over"),
        (["--head"], 0.5, "1 clip was cut: this model hears the first 0.5 s of a clip (heard_s)."),
    ):
        assert main([run, clip, *options]) == 0
        printed = capsys.readouterr()
        assert json.loads(printed.out)["heard_s"] == pytest.approx(heard, abs=1e-3)
        assert said in printed.err
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main([run, clip, "--head"]) == 0
    assert "heard s" in (shown := capsys.readouterr().out)
    assert " 0.5 " in shown
