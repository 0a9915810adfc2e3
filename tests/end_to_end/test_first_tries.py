"""A corpus that was never seen trains at the first or second command, by the speakers that stand in its names."""

import json
import re
import shlex

import numpy as np
import pytest
import soundfile

from serjax.cli import parse
from serjax.config.experiment import Experiment
from serjax.evaluation.out_of_fold import read_oof_csv
from serjax.runs.finetune import experiment_data
from serjax.runtime.errors import UserError
from serjax.train import main

LITTLE = ["--model.size", "tiny", "--model.head-size", "8", "--train.epochs", "1", "--train.batch-size", "8"]
LITTLE += ["--data.max-seconds", "0.3"]


def write(root, *names):
    rng = np.random.default_rng(0)
    for name in names:
        path = root / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(0, 0.1, 4000), 16_000)
    return root


def arguments(tmp_path, root, *options):
    named = ["--exp", "hubert_kfold", "--out", str(tmp_path), "--name", "run", "--data.root", str(root)]
    return [*named, *LITTLE, *options]


def divided(tmp_path, root, *options):
    """Divide by the command line, and train nothing; return the data, and the speakers that each fold would test."""
    data = experiment_data(parse("serjax.train", arguments(tmp_path, root, *options), Experiment, "hubert_kfold"))
    return data, [{data.store.utterances[i].speaker for i in fold.test} for fold in data.folds]


def train(tmp_path, root, *options):
    """Train by the command line; return the report, and the speakers that each fold tested."""
    assert main(arguments(tmp_path, root, *options)) == 0
    oof = read_oof_csv(tmp_path / "run/oof.csv")
    tested = [
        {who for who, at in zip(oof.speaker, oof.fold, strict=True) if at == fold} for fold in sorted(set(oof.fold))
    ]
    return json.loads((tmp_path / "run/report.json").read_text()), tested


@pytest.mark.slow
def test_folders_of_classes_with_speakers_in_names_take_the_pattern_that_is_offered(tmp_path):
    people = ("SM1", "SF2", "SM3", "SM4", "SF5", "SM6")
    names = [f"{label}/{who}_C{n}_{label[0]}{n}" for label in ("Angry", "Sad") for who in people for n in range(2)]
    root = write(tmp_path / "recordings", *names)
    with pytest.raises(UserError) as refused:
        train(tmp_path, root)
    offered = shlex.split(re.search(r"--data\.speaker-pattern \S+", str(refused.value))[0])
    report, tested = train(tmp_path, root, *offered, "--folds.count", "3")
    assert report["facts"]["speakers"] == 6
    assert sorted(map(len, tested)) == [2, 2, 2]
    assert set.union(*tested) == set(people)


def test_savee_makes_four_folds_of_a_man_each(tmp_path, caplog):
    caplog.set_level("INFO", "serjax")
    names = [
        f"AudioData/{who}/{code}{n:02d}" for who in ("DC", "JE", "JK", "KL") for code in ("a", "sa") for n in (1, 2)
    ]
    data, tested = divided(tmp_path, write(tmp_path / "SAVEE", *names))
    assert tested == [{"DC"}, {"JE"}, {"JK"}, {"KL"}]
    assert data.labels == ("anger", "sadness")
    assert "4 speakers make 4 folds that test one of them each, not the 5 of --folds.count." in caplog.text


def test_a_table_with_columns_of_its_own_is_read_by_them(tmp_path):
    people = ("EB0", "DK1", "SB2", "PA3")
    clips = [(who, label, f"{who}_{label}_{n}") for who in people for label in ("anger", "fear") for n in (1, 2)]
    root = write(tmp_path / "nEMO", *(f"samples/{name}" for _, _, name in clips))
    rows = [
        "file_id\temotion\traw_text\tspeaker_id\tsex",
        *(f"{name}\t{label}\tA\t{who}\tf" for who, label, name in clips),
    ]
    (root / "data.tsv").write_text("\n".join(rows) + "\n")
    columns = ["--data.columns", "path=file_id", "label=emotion", "speaker=speaker_id"]
    data, tested = divided(tmp_path, root / "data.tsv", *columns, "--folds.count", "2")
    assert [len(one) for one in tested] == [2, 2]
    assert set.union(*tested) == set(people)
    assert any("raw_text is the text, sex is the gender." in note for note in data.corpus_notes)
