"""The command line with other targets than one class: trained, written, answered, and what is refused."""

import json

import numpy as np
import pytest

import serjax
from serjax.evaluation.task_answers import read_task_csv
from serjax.evaluation.tasks import Task
from serjax.predict import main as predict
from serjax.runtime.errors import UserError
from serjax.train import main as train

SMALL = [
    *("--exp", "bilstm_kfold", "--data.corpus", "synthetic", "--data.synthetic.clips-per-class", "20"),
    *("--data.synthetic.speakers", "4", "--data.max-seconds", "1.0", "--folds.kind", "speaker", "--folds.count", "2"),
    *("--train.epochs", "4", "--train.batch-size", "16", "--train.patience", "4"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("targets")


def run(folder, name, *options):
    assert train([*SMALL, "--name", name, "--out", str(folder), "--data.cache", str(folder / "cache"), *options]) == 0
    return folder / name


@pytest.fixture(scope="module")
def found(folder):
    """A run of two values."""
    return run(folder, "avd", "--target.kind", "dimensions", "--target.dimensions", "arousal=1:7", "valence=1:7")


def test_the_card_takes_its_fields_and_is_read_by_the_hub(found):
    from huggingface_hub import ModelCard

    from serjax.push import main as push

    assert push([str(found), "--card-only", "--card.license", "cc-by-4.0", "--card.limits", "Rendered voices."]) == 0
    card = ModelCard.load(found / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert {one.metric_name for one in card.data.eval_results} >= {"CCC (dimensions)", "RMSE (dimensions)"}
    assert "- Rendered voices." in card.text
    assert "![dimensions](dimensions.png)" in card.text


def test_dimensions_are_learned_and_answered_on_their_scale(folder, found, capsys):
    report = json.loads((found / "report.json").read_text())
    (section,) = report["tasks"]
    assert section["kind"] == "dimensions"
    assert section["scores"]["ccc"]["score"] > 0.1
    assert {"README.md", "dimensions.png", "curves.png", "oof_dimensions.csv"} <= {
        path.name for path in found.iterdir()
    }
    task = Task("dimensions", "dimensions", ("arousal", "valence"), ((1, 7), (1, 7)))
    (answers,) = read_task_csv(found / "oof_dimensions.csv", task)
    clip = sorted((folder / "cache").rglob("*_00.flac"))[0]
    model = serjax.load(found)
    scores = {one["label"]: one["score"] for one in model(str(clip))}
    row = answers.ids.index(f"{clip.parent.name}/{clip.stem}")
    truth = dict(zip(task.outputs, task.scaled(answers.truth)[row], strict=True))
    assert set(scores) == {"arousal", "valence"}
    assert all(abs(scores[name] - truth[name]) < 4 for name in truth)
    weights = [int(number == answers.fold[row]) for number in model.folds]
    one = serjax.load(found, weights, long_clips="head")
    exact = {entry["label"]: entry["score"] for entry in one(str(clip))}
    assert exact == pytest.approx(dict(zip(task.outputs, task.scaled(answers.answer)[row], strict=True)), abs=1e-3)
    capsys.readouterr()
    assert predict([str(found), str(clip)]) == 0
    assert "arousal" in capsys.readouterr().out


@pytest.mark.slow
def test_several_tasks_at_once_with_learned_weights(folder):
    options = ["--target.tasks", "emotion:class:focal", "avd:dimensions", "votes:soft:kl", "all:multilabel"]
    options += ["--target.dimensions", "arousal=1:7", "--target.weights", "learned", "--train.seeds", "2"]
    found = run(folder, "tasks", *options)
    report = json.loads((found / "report.json").read_text())
    assert [section["name"] for section in report["tasks"]] == ["emotion", "avd", "votes", "all"]
    assert all(np.isfinite(fold["macro_f1"]) for fold in report["tasks"][0]["folds"])
    assert report["tasks"][0]["seeds"]["count"] == 2
    clip = str(sorted((folder / "cache").rglob("*_00.flac"))[0])
    model = serjax.load(found)
    assert sum(one["score"] for one in model(clip)) == pytest.approx(1, abs=1e-5)
    avd = serjax.load(found, task="avd")
    assert [one["label"] for one in avd(clip)] == ["arousal"]
    assert avd.outputs == "identity"
    assert serjax.load(found, task="all").outputs == "sigmoid"
    assert len(serjax.load(found, task="votes", only=["sad", "anger"])(clip)) == 2
    with pytest.raises(UserError, match="the model has no task 'x'; it has emotion, avd, votes, all"):
        serjax.load(found, task="x")


def test_what_does_not_fit_is_refused(folder):
    with pytest.raises(UserError, match=r"train\.accumulate is 2, but the loss ccc is of a whole batch"):
        run(
            *(folder, "x", "--train.accumulate", "2", "--target.kind", "dimensions"),
            *("--target.dimensions", "arousal=1:7"),
        )
    with pytest.raises(UserError, match="values are outside their ranges"):
        run(folder, "x", "--target.kind", "dimensions", "--target.dimensions", "arousal=1:2")
    with pytest.raises(UserError, match="no clip has tension; the corpus has arousal, valence"):
        run(folder, "x", "--target.kind", "dimensions", "--target.dimensions", "tension=1:2", "arousal=1:7")


def test_a_run_of_values_is_evaluated_on_another_corpus(folder, found, tmp_path):
    """The clips of the run itself, as a list with a scale of its own."""
    from serjax.evaluate import main as evaluate

    clips = sorted((folder / "cache").rglob("*_0[0-3].flac"))
    lines = [f"{path},{place % 3},{1 + place % 7}" for place, path in enumerate(clips)]
    (tmp_path / "list.csv").write_text("\n".join(["path,speaker,arousal", *lines]) + "\n")
    options = ["--data.root", str(tmp_path / "list.csv"), "--out", str(tmp_path / "evaluation")]
    assert evaluate([str(found), *options]) == 0
    report = json.loads((tmp_path / "evaluation" / "report.json").read_text())
    (arousal,) = [one for one in report["tasks"][0]["each"] if one["name"] == "arousal"]
    assert arousal["clips"] == len(clips)
    assert (tmp_path / "evaluation" / "dimensions.png").is_file()
    with pytest.raises(UserError, match="knows those of its values"):
        evaluate([str(found), *options, "--overwrite", "--ranges", "arousal=1:7"])
