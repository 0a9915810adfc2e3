"""Calibration as rows of text."""

from serjax.evaluation.calibration_tables import calibration_section, doubt_rows, quality_rows, set_rows, temperatures
from serjax.evaluation.model_card import model_card


def test_rows_hold_the_numbers_of_the_report(make_run):
    found = make_run(seeds=2).report["calibration"]
    trained, after, together, same = quality_rows(found)
    assert trained[0] == "as trained"
    assert after[0] == f"calibrated, T {temperatures(found)}"
    assert (together[0], same[0]) == ("seeds together", "the same, calibrated")
    for row, one in ((trained, found["before"]), (after, found["after"]), (same, found["together"]["after"])):
        assert row[1:4] == [f"{100 * one[key]:.1f}" for key in ("ece", "confidence", "accuracy")]
        assert row[4:] == [f"{one['brier']:.3f}", f"{one['nll']:.3f}"]
    assert [row[0] for row in set_rows(found)] == ["80", "90", "95"]
    assert set_rows(found)[1][1:3] == [f"{100 * found['sets'][1]['covered']:.1f}", f"{found['sets'][1]['size']:.2f}"]
    assert [row[0] for row in doubt_rows(found)] == ["least", "less", "more", "most"]
    low, high = (end(one["temperature"] for one in found["members"]) for end in (min, max))
    assert temperatures(found) == f"{low:.2f} to {high:.2f}"


def test_the_card_has_a_part_on_calibration(make_run):
    card = model_card(make_run(seeds=2).report)
    for text in ("## Calibration", "](reliability.png)", "| as trained |", "| 90 | ", "| most | ", "unless `--raw`"):
        assert text in card
    card = model_card(make_run(validation="test").report)
    assert "| as trained |" in card
    assert "--raw" not in card
    assert "--coverage" not in card


def test_a_report_of_before_has_no_such_part(make_run):
    report = make_run().report
    del report["calibration"]
    assert calibration_section(report) == []
    assert "Calibration" not in model_card(report)
