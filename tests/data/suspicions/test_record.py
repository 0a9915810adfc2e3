"""A suspicion as text."""

from serjax.data.suspicions.record import Suspicion, plural


def test_text_is_both_sentences():
    assert Suspicion("kind", "It is so.", "Change it.").text == "It is so. Change it."


def test_plurals():
    assert [plural(1), plural(2), plural(1, "file")] == ["1 clip", "2 clips", "1 file"]
