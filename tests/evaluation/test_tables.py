"""The table shows the report's numbers, within 80 columns."""

import io

import pytest
from rich.console import Console

from serjax.evaluation.calibration_tables import quality_rows, set_rows
from serjax.evaluation.metrics import METRICS
from serjax.evaluation.report import OPTIMISTIC
from serjax.evaluation.tables import GROUP_HEADINGS, group_rows, percent, score_tables, speakers_tested

CASES = [
    {},
    {"folds": 1, "known": False},
    {"folds": 24, "speakers": 24, "seeds": 3, "rates": (0.001, 0.0003), "validation": "test"},
]


def printed(report, width=80):
    file = io.StringIO()
    Console(file=file, width=width).print(score_tables(report))
    return file.getvalue()


@pytest.mark.parametrize("case", CASES)
def test_every_number_of_the_report_is_there(make_run, case):
    report = make_run(**case).report
    text = printed(report)
    lines = [line.split() for line in text.splitlines() if line.strip()]
    for fold in report["folds"]:
        (line,) = (line for line in lines if line[0] == str(fold["fold"]) and any("/" in cell for cell in line))
        place = line.index(f"{fold['kept_epoch']}/{fold['epochs']}")
        assert line[place - 1] == str(fold["clips"])
        assert " ".join(line[1 : place - 1]) == speakers_tested(fold, 8 if case.get("rates") else 12)
        assert line[-3:] == [f"{100 * fold[metric]:.1f}" for metric in METRICS]
    for scored in filter(None, (report, report["last_epoch"])):
        whole, over = scored["out_of_fold"], scored["over_folds"]
        for metric in METRICS:
            assert percent(whole[metric]["score"]) in text
            assert f"{percent(whole[metric]['low'])}-{percent(whole[metric]['high'])}" in text
            spread = "" if over[metric]["std"] is None else f" ± {percent(over[metric]['std'])}"
            assert percent(over[metric]["mean"]) + spread in text
    assert ["chance", percent(report["chance"]["wa"]), percent(report["chance"]["ua"]), "-"] in lines


@pytest.mark.parametrize("case", CASES)
def test_eighty_columns_are_enough(make_run, case):
    text = printed(make_run(**case).report)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text


@pytest.mark.parametrize(
    ("names", "width", "text"),
    [
        (["DC"], 12, "DC"),
        (["01", "11", "20", "21"], 12, "01,11,20,21"),
        (["01", "11", "20", "21", "24"], 12, "01,11,20,+2"),
        (["Ses01F", "Ses01M"], 12, "Ses01F,+1"),
        (["a speaker of a long name", "b"], 12, "2"),
        ([f"{n:03}" for n in range(150)], 12, "000,001,+148"),
        (None, 12, "-"),
    ],
)
def test_speakers_of_a_fold_are_named_as_far_as_they_fit(names, width, text):
    assert speakers_tested({"tested": names, "speakers": names and len(names)}, width) == text


def test_piped_text_has_no_escape_codes(make_run):
    assert "\x1b" not in printed(make_run().report)


def test_a_chosen_rate_is_shown_only_where_several_were_tried(make_run):
    report = make_run(rates=(0.001, 0.0003)).report
    text = printed(report)
    assert "rate" in text.split()
    assert f"{report['folds'][0]['learning_rate']:g}" in text
    assert "rate" not in printed(make_run(rates=(0.001,)).report).split()
    # Without a frozen encoder train.learning_rates has no effect, and the history names none.
    for fold in report["folds"]:
        fold["learning_rate"] = None
    assert "rate" not in printed(report).split()


def test_stopping_on_the_test_fold_is_said(make_run):
    text = printed(make_run(validation="test").report)
    assert OPTIMISTIC in " ".join(text.split())
    assert "at the last epoch instead" in text
    assert "optimistic" not in printed(make_run().report)


def test_names_are_not_read_as_markup(make_run):
    text = printed(make_run(leakage_notes=("A note on [bold] clips.",)).report)
    assert "A note on [bold] clips." in text


def test_groups_of_speakers_are_a_table_of_their_own(make_run):
    report = make_run(gender=True).report
    text = printed(report)
    (found,) = report["groups"]
    assert "by gender, in %" in text
    lines = [line.split() for line in text.splitlines()]
    assert GROUP_HEADINGS in lines
    for row in group_rows(found):
        assert " ".join(row).split() in lines
    assert group_rows(found)[-1][3] == percent(found["gap"]["ua"])
    found["groups"][0] |= {"low": None, "high": None}
    assert group_rows(found)[0][-1] == "-"


def test_calibration_and_sets_are_shown(make_run):
    run = make_run()
    text = printed(run.report)
    assert "calibration, out of fold" in text
    for row in [*quality_rows(run.report["calibration"]), *set_rows(run.report["calibration"])]:
        assert row in [
            [cell.strip() for cell in line.strip().split("  ") if cell.strip()] for line in text.splitlines()
        ]
    assert "sets of labels" not in printed(make_run(validation="test").report)
    report = run.report
    del report["calibration"]
    assert "calibration" not in printed(report)
