"""Tables of a corpus on a terminal of 80 columns."""

import io

import pytest
from corpus_report import corpus_report
from rich.console import Console

from serjax.evaluation.corpus_tables import amount, corpus_tables, sound_rows, suspicion_lines, visible


def printed(report):
    file = io.StringIO()
    Console(file=file, width=80).print(corpus_tables(report))
    return file.getvalue()


def test_tables_hold_the_numbers_and_the_suspicions():
    report = corpus_report()
    text = printed(report)
    assert max(map(len, text.splitlines())) <= 80
    lines = [line.split() for line in text.splitlines()]
    assert text.startswith("Corpus: 18 clips, 3 speakers, 3 classes, 5.2 s of sound.")
    level = report["classes"][1]["rms_dbfs"][1]
    assert level == pytest.approx(-14, abs=0.3)  # noise of a deviation of 0.2
    assert ["calm", "6", "3", "0.0", "0.31", f"{level:.1f}"] in lines
    assert "- A note." in text
    assert "Clips of a speaker: 6; of a speaker in a class: 2 to 2." in " ".join(text.split())
    assert "Clips: 17 of 16000 Hz; 17 of 1 channel." in text
    assert "share of the majority, mean: 58.3%" in text
    assert "Krippendorff's alpha, nominal (Krippendorff 2011)" in text
    assert "Fleiss' kappa" not in text  # clips differ in their number of votes
    assert ["valence", "18", "-2", "-1", "0", "-1"] in lines
    assert "- refused by training: It <b>cannot</b> be." in text
    assert "    Change it." in text


def test_names_alone_and_a_stop():
    text = printed(corpus_report(sound=False, votes=False, values=False))
    assert "no sound was decoded" in text
    assert "Hz" not in text
    assert "Stopped: sound is that of 17 clips, a random part." in " ".join(
        printed(corpus_report(stopped=True)).split()
    )


def test_many_classes_are_cut():
    text = printed(corpus_report(tuple(f"class {n}" for n in range(45)), sound=False))
    assert "and 5 more" in text


def test_nothing_suspicious():
    assert "Nothing." in str(suspicion_lines([])[0])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5 s"), (119, "119.0 s"), (120, "2.0 min"), (7200, "2.0 h"), (360000, "100.0 h")]
)
def test_amounts(seconds, text):
    assert amount(seconds) == text


def test_names_whose_spaces_cannot_be_seen_are_quoted():
    assert [visible(name) for name in ("sad", "sad ", "", "a\tb")] == ["sad", "'sad '", "(none)", "'a\\tb'"]


def test_no_minus_before_a_zero():
    sound = corpus_report()["sound"]
    sound["peak_dbfs"]["max"] = -0.001
    assert sound_rows(sound)[1][-1] == "0.0"
