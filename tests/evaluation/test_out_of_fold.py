"""oof.csv holds what a fold answered, for any names of clips, speakers and classes."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.evaluation.out_of_fold import (
    OutOfFold,
    attribute_columns,
    joined_attributes,
    mean_of,
    read_oof_csv,
    read_seeds,
    write_oof_csv,
)
from serjax.runtime.errors import UserError

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=8)


@st.composite
def out_of_folds(draw):
    labels = draw(st.lists(st.one_of(names, st.just("fold")), min_size=2, max_size=5, unique=True))
    ids = draw(st.lists(names, max_size=8))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    count = len(ids)
    probability = rng.dirichlet(np.ones(len(labels)), count).astype(np.float32).reshape(count, len(labels))
    speaker = draw(st.lists(st.one_of(st.none(), names), min_size=count, max_size=count))
    fold, label = rng.integers(1, 6, count), rng.integers(0, len(labels), count)
    values = st.lists(st.one_of(st.none(), names), min_size=count, max_size=count)
    known = {name: tuple(draw(values)) for name in ("gender", "age") if draw(st.booleans())}
    return OutOfFold(tuple(ids), fold, label, probability, tuple(speaker), tuple(labels), known)


@settings(max_examples=60)
@given(out_of_folds())
def test_what_is_read_is_what_was_written(tmp_path_factory, oof):
    path = tmp_path_factory.mktemp("csv") / "oof.csv"
    write_oof_csv(path, oof)
    back = read_oof_csv(path)
    assert (back.ids, back.speaker, back.labels) == (oof.ids, oof.speaker, oof.labels)
    assert back.attributes == oof.attributes
    for name in ("fold", "label", "probability", "prediction"):
        np.testing.assert_array_equal(getattr(back, name), getattr(oof, name))
    assert back.probability.dtype == np.float32


def test_columns_are_named_for_people(tmp_path):
    probability = np.array([[0.25, 0.75], [1, 0]], np.float32)
    oof = OutOfFold(
        ("a.wav", "b.wav"), np.array([1, 2]), np.array([0, 0]), probability, ("anna", None), ("sad", "glad")
    )
    write_oof_csv(tmp_path / "oof.csv", oof)
    with (tmp_path / "oof.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first == {
        "clip": "a.wav",
        "fold": "1",
        "label": "sad",
        "prediction": "glad",
        "speaker": "anna",
        "p_sad": "0.25",
        "p_glad": "0.75",
    }
    assert (second["prediction"], second["speaker"]) == ("sad", "")


@settings(max_examples=20)
@given(out_of_folds(), st.integers(2, 3))
def test_seeds_come_back_one_by_one(tmp_path_factory, oof, count):
    path = tmp_path_factory.mktemp("csv") / "oof.csv"
    rng = np.random.default_rng(0)
    seeds = [replace(oof, probability=rng.permutation(oof.probability, axis=1)) for _ in range(count)]
    write_oof_csv(path, *seeds)
    assert path.read_text(encoding="utf-8").startswith("clip,fold,seed,label,prediction,speaker,")
    found = read_seeds(path)
    assert len(found) == (count if oof.ids else 1)
    for one, other in zip(found, seeds, strict=False):
        assert (one.ids, one.speaker, one.labels) == (other.ids, other.speaker, other.labels)
        np.testing.assert_array_equal(one.probability, other.probability)
        np.testing.assert_array_equal(one.fold, other.fold)
    np.testing.assert_array_equal(read_oof_csv(path).probability, found[0].probability)


def test_mean_of_seeds_is_that_of_their_probabilities():
    one = OutOfFold(("a",), np.array([1]), np.array([0]), np.array([[0.2, 0.8]], np.float32), (None,), ("sad", "glad"))
    both = mean_of([one, replace(one, probability=np.array([[1, 0]], np.float32))])
    np.testing.assert_allclose(both.probability, [[0.6, 0.4]])
    assert both.probability.dtype == np.float32


@pytest.mark.parametrize(
    ("rows", "message"),
    [("a,1,0,sad,sad,,1,0\nb,1,1,sad,sad,,1,0\n", "its seeds are not of the same clips"),
     ("a,1,-1,sad,sad,,1,0\n", r"oof\.csv, row 2"), ("a,1,x,sad,sad,,1,0\n", r"oof\.csv, row 2")],
)  # fmt: skip
def test_seeds_that_do_not_fit_are_named(tmp_path, rows, message):
    path = tmp_path / "oof.csv"
    path.write_text(HEADER.replace("fold,", "fold,seed,") + rows)
    with pytest.raises(UserError, match=message):
        read_seeds(path)


HEADER = "clip,fold,label,prediction,speaker,p_sad,p_glad\n"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "line 1"),
        ("clip,label,p_sad\n", "line 1"),
        ("clip,fold,label,prediction,speaker,sad,glad\n", "line 1"),
        (HEADER + "a,1,sad,sad,,1,0\na,one,sad,sad,,1,0\n", "row 3"),
        (HEADER + "a,1,angry,sad,,1,0\n", "row 2"),
        (HEADER + "a,1,sad,sad,,1\n", "row 2"),
        (HEADER + "a,1,sad,sad,,1,0,0\n", "row 2"),
        (HEADER + "a,1,sad,sad,,1,\n", "row 2"),
        (HEADER + "a\n", "row 2"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, text, where):
    path = tmp_path / "oof.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"oof\.csv, {where}: "):
        read_oof_csv(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.csv: cannot be read"):
        read_oof_csv(tmp_path / "nowhere.csv")


def test_attributes_are_columns_where_some_are_known():
    known = [(("gender", "female"),), (), (("gender", "male"), ("age", "20-29"))]
    assert attribute_columns(known) == {"gender": ("female", None, "male"), "age": (None, None, "20-29")}
    assert attribute_columns([(), ()]) == {}


def test_attributes_of_parts_are_joined():
    def part(clips, attributes):
        count = len(clips)
        rows = np.zeros(count, int), np.zeros(count, int), np.ones((count, 1), np.float32)
        return OutOfFold(tuple(clips), *rows, (None,) * count, ("a",), attributes)

    parts = [part("ab", {}), part("c", {"age": ("20-29",)}), part("d", {"gender": ("male",)})]
    assert joined_attributes(parts) == {
        "gender": (None, None, None, "male"),
        "age": (None, None, "20-29", None),
    }
    assert joined_attributes(parts[:1]) == {}
