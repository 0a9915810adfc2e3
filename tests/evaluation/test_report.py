"""The report agrees with scikit-learn and with the history, and says what a reader must know."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn import metrics as sk

from serjax.evaluation.history import chosen_histories, kept_row
from serjax.evaluation.metrics import METRICS
from serjax.evaluation.report import OPTIMISTIC, build_report


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"folds": 1, "known": False},
        {"seeds": 3, "rates": (0.001, 0.01)},
        {"validation": "test"},
        {"gender": True},
        {"skipped": ("a.wav: empty",), "corpus_notes": ("Rendered.",)},
    ],
)
def test_json_brings_the_report_back(make_run, case):
    report = make_run(**case).report
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_scores_are_scikit_learns(make_run):
    run = make_run()
    report, oof = run.report, run.seeds[0]
    ours = {metric: report["out_of_fold"][metric]["score"] for metric in METRICS}
    assert ours["wa"] == pytest.approx(sk.accuracy_score(oof.label, oof.prediction))
    assert ours["ua"] == pytest.approx(sk.balanced_accuracy_score(oof.label, oof.prediction))
    assert ours["macro_f1"] == pytest.approx(sk.f1_score(oof.label, oof.prediction, average="macro"))
    table = sk.classification_report(oof.label, oof.prediction, target_names=oof.labels, output_dict=True)
    for row in report["classes"]:
        theirs = table[row["label"]]
        assert row["support"] == theirs["support"]
        assert (row["precision"], row["recall"], row["f1"]) == pytest.approx(
            (theirs["precision"], theirs["recall"], theirs["f1-score"])
        )
    for fold in report["folds"]:
        mine = oof.fold == fold["fold"]
        assert fold["wa"] == pytest.approx(sk.accuracy_score(oof.label[mine], oof.prediction[mine]))
        assert fold["clips"] == mine.sum()


def test_mean_and_spread_are_of_the_folds(make_run):
    report = make_run().report
    for metric in METRICS:
        values = [fold[metric] for fold in report["folds"]]
        assert report["over_folds"][metric]["mean"] == pytest.approx(np.mean(values))
        assert report["over_folds"][metric]["std"] == pytest.approx(np.std(values, ddof=1))


def test_a_single_fold_has_no_spread(make_run):
    report = make_run(folds=1).report
    assert [report["over_folds"][metric]["std"] for metric in METRICS] == [None] * 3
    assert report["folds"][0]["ua"] == report["out_of_fold"]["ua"]["score"]


def test_confusion_counts_every_clip_once(make_run):
    run = make_run()
    matrix = np.array(run.report["confusion"])
    assert matrix.sum() == len(run.seeds[0].ids)
    np.testing.assert_array_equal(matrix, sk.confusion_matrix(run.seeds[0].label, run.seeds[0].prediction))


def test_chance_is_that_of_a_constant_answer(make_run):
    run = make_run()
    label = run.seeds[0].label
    constant = np.full_like(label, np.bincount(label).argmax())
    assert run.report["chance"] == pytest.approx(
        {"wa": sk.accuracy_score(label, constant), "ua": sk.balanced_accuracy_score(label, constant)}
    )


def test_intervals_draw_speakers_where_all_are_known(make_run):
    known, unknown = make_run().report, make_run(known=False).report
    assert (known["interval"]["resampled"], known["interval"]["count"]) == ("speakers", 12)
    assert (unknown["interval"]["resampled"], unknown["interval"]["count"]) == ("clips", 144)
    assert any("draw single clips" in note for note in unknown["notes"])
    assert not any("draw single clips" in note for note in known["notes"])
    for metric in METRICS:
        low, score, high = (known["out_of_fold"][metric][key] for key in ("low", "score", "high"))
        assert low < score < high


def test_one_clip_without_a_speaker_is_enough_to_draw_clips(make_run):
    run = make_run()
    first = run.seeds[0]
    hole = dataclasses.replace(first, speaker=(None, *first.speaker[1:]))
    assert dataclasses.replace(run, seeds=[hole]).report["interval"]["resampled"] == "clips"


def test_kept_epochs_are_the_historys_own(make_run):
    run = make_run()
    for fold in run.report["folds"]:
        rows = [row for row in run.history if row["fold"] == fold["fold"]]
        top = max(row["validation_macro_f1"] for row in rows)
        assert {row["epoch"]: row["validation_macro_f1"] for row in rows}[fold["kept_epoch"]] == top
        assert fold["epochs"] == len(rows)


def test_of_equal_epochs_the_first_is_best():
    rows = [{"epoch": epoch, "validation_macro_f1": score} for epoch, score in enumerate([0.1, 0.4, 0.4, 0.2], 1)]
    assert kept_row(rows)["epoch"] == 2


def test_the_first_seeds_best_learning_rate_is_chosen_fold_by_fold():
    def row(fold, seed, rate, epoch, score):
        return {"fold": fold, "seed": seed, "learning_rate": rate, "epoch": epoch, "validation_macro_f1": score}

    history = [
        row(1, 0, 0.1, 1, 0.5),
        row(1, 0, 0.2, 1, 0.6),
        row(1, 1, 0.1, 1, 0.9),
        row(2, 0, 0.1, 1, 0.3),
        row(2, 0, 0.2, 1, 0.2),
        row(1, 0, 0.1, 2, 0.6),
        row(1, 0, 0.2, 2, 0.4),
        row(2, 0, 0.1, 2, 0.1),
        row(2, 0, 0.2, 2, 0.4),
    ]
    chosen = chosen_histories(history)
    # In fold 1 both rates reach 0.6: the one that was tried first is chosen.
    assert [(rows[0]["learning_rate"], kept_row(rows)["epoch"]) for rows in (chosen[1], chosen[2])] == [
        (0.1, 2),
        (0.2, 2),
    ]
    assert all(one["seed"] == 0 for rows in chosen.values() for one in rows)


def test_several_seeds_are_summed_up(make_run):
    run = make_run(seeds=3)
    report = run.report
    each = [sk.accuracy_score(oof.label, oof.prediction) for oof in run.seeds]
    assert report["seeds"]["count"] == 3
    assert report["seeds"]["wa"]["each"] == pytest.approx(each)
    assert report["seeds"]["wa"]["mean"] == pytest.approx(np.mean(each))
    assert report["seeds"]["wa"]["std"] == pytest.approx(np.std(each, ddof=1))
    assert report["out_of_fold"]["wa"]["score"] == pytest.approx(each[0])
    assert make_run().report["seeds"] is None


def test_stopping_on_the_test_fold_is_said_and_both_scores_shown(make_run):
    honest, habit = make_run(), make_run(validation="test")
    assert OPTIMISTIC not in honest.report["notes"]
    assert honest.report["last_epoch"] is None
    report = habit.report
    assert report["notes"][0] == OPTIMISTIC
    wa = sk.accuracy_score(habit.last.label, habit.last.prediction)
    assert report["last_epoch"]["out_of_fold"]["wa"]["score"] == pytest.approx(wa)
    assert wa != report["out_of_fold"]["wa"]["score"]


def test_what_the_run_noticed_is_passed_on(make_run):
    report = make_run(speakers=5, leakage_notes=("One pair.",), corpus_notes=("Rendered.",), skipped=("x", "y")).report
    text = "\n".join(report["notes"])
    for expected in ("One pair.", "2 unreadable clips", "With 5 speakers"):
        assert expected in text


def test_a_class_without_clips_has_no_scores(make_run):
    run = make_run()
    oof = run.seeds[0]
    wider = dataclasses.replace(
        oof, labels=(*oof.labels, "proud"), probability=np.pad(oof.probability, ((0, 0), (0, 1)))
    )
    report = build_report(run.settings, run.facts, [wider], run.history)
    assert report["classes"][-1] == {"label": "proud", "support": 0, "precision": None, "recall": None, "f1": None}
    assert report["out_of_fold"] == run.report["out_of_fold"]
    assert report["chance"] == run.report["chance"]


def test_folds_name_whom_they_test_and_a_mean_over_unequal_ones_says_so(make_run):
    run = make_run(speakers=12)
    assert [fold["speakers"] for fold in run.report["folds"]] == [len(f["tested"]) for f in run.report["folds"]]
    assert run.report["folds"][2]["tested"] == ["speaker 2", "speaker 7"]
    assert make_run(known=False).report["folds"][0]["tested"] is None
    assert not any("counts them alike" in note for note in run.report["notes"])
    oof = run.seeds[0]
    rows = [row for row, fold in enumerate(oof.fold) if fold != 2 or row % 12 == 1]
    fewer = dataclasses.replace(
        oof,
        ids=tuple(oof.ids[row] for row in rows),
        fold=oof.fold[rows],
        label=oof.label[rows],
        probability=oof.probability[rows],
        speaker=tuple(oof.speaker[row] for row in rows),
    )
    report = dataclasses.replace(run, seeds=[fewer]).report
    assert (
        "Folds test 3 to 36 clips, and the mean over folds counts them alike: one clip of the smallest weighs as much "
        "as 12 of the largest; out-of-fold counts clips alike."
    ) in report["notes"]


def test_groups_of_speakers_have_rows_and_a_gap(make_run):
    run = make_run(gender=True)
    (found,) = run.report["groups"]
    assert [(row["group"], row["clips"], row["speakers"]) for row in found["groups"]] == [
        ("female", 72, 6),
        ("male", 72, 6),
    ]
    uas = [row["ua"] for row in found["groups"]]
    assert found["gap"]["ua"] == pytest.approx(max(uas) - min(uas))
    assert make_run().report["groups"] == []
