"""Speakers in names are found wherever they stand, and counters, dates, classes and takes are not taken for them."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.data.corpora.names import find_recurring, is_part, name_by_pattern, part_role, paths_below
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

some = settings(max_examples=80)
classes = st.lists(
    st.sampled_from(("anger", "Sad", "joy", "very_neutral", "fear")), min_size=2, max_size=5, unique=True
)


def found(paths, label=lambda path: path.split("/")[0]):
    return find_recurring(paths, [label(path) for path in paths])


LAYOUTS = {
    "{label}/{who}_{n:03d}.wav": ("SM{0}", "spk{0:02d}", "anna{0}", "{0:03d}"),
    "{label}/{who}-{text}-{n}.flac": ("F{0}", "S{0:02d}", "{0:02d}"),
    "{label}/{code}_{who}_b{n}.wav": ("f{0}", "m{0}"),
    "{label}/{who}{code}{n:02d}.wav": ("F{0:02d}", "{0:03d}"),
    "{label}/{who}/{n:02d}.wav": ("Actor_{0:02d}", "person {0}", "{0}"),
    "{label}/x{n}_{who}.wav": ("speaker{0}", "Spk_{0}"),
    "train/{label}/{who}/{n:02d}.wav": ("p{0}",),
    "{label}/{who} {n}.wav": ("voice{0}", "{0:02d}"),
}


@some
@given(
    layout=st.sampled_from([(layout, name) for layout, names in LAYOUTS.items() for name in names]),
    labels=classes,
    people=st.integers(3, 30),
    clips=st.integers(3, 6),
)
def test_speakers_are_found_in_any_layout(layout, labels, people, clips):
    form, name = layout
    paths, speakers = [], []
    for label in labels:
        for person in range(people):
            for n in range(clips):
                fields = {"label": label, "who": name.format(person), "n": n, "text": "ab"[n % 2], "code": label[0]}
                paths.append(form.format(**fields))
                speakers.append(name.format(person))
    recurring = found(paths, lambda path: path.removeprefix("train/").split("/")[0])
    assert recurring is not None
    assert recurring.values == tuple(sorted(set(speakers)))
    assert [re.search(recurring.pattern, path)["speaker"] for path in paths] == speakers


NO_SPEAKERS = (
    "{label}/clip_{n:04d}.wav",
    "{label}/{n:05d}.wav",
    "{label}/{all:05d}.wav",
    "{label}/{label}_{n:03d}.wav",
    "{label}/{label}{n}.wav",
    "{label}/{n:02d}_{label}.wav",
    "{label}/2021-03-{day:02d}_{n:03d}.wav",
    "{label}/202103{day:02d}_{n:03d}.wav",
    "{label}/{day:02d}.03.2021-{n:03d}.wav",
    "{label}/20210304-{n:06d}.wav",
    "{label}/{label}_take{day}_{n}.wav",
    "{label}/utt{day}_{n}.wav",
    "{label}/male_{n}.wav",
    "{label}/{sex}_{n:03d}.wav",
    "{label}/{part}/{n:03d}.wav",
    "{part}/{label}/{n:03d}.wav",
    "{label}/{hash}.wav",
    "{label}/{label}-{hash}-x.wav",
    "{label}/session{day}/{n}.wav",
    "{label}/recording_{all}_{part}.wav",
)


@some
@given(st.sampled_from(NO_SPEAKERS), classes, st.integers(1, 60))
def test_counters_dates_classes_takes_and_parts_are_no_speakers(form, labels, clips):
    paths = [
        form.format(
            label=label,
            n=n,
            all=number * clips + n,
            day=n % 28 + 1,
            sex=("F", "M")[n % 2],
            part=("train", "test")[n % 2],
            hash=f"{(number * clips + n) * 2654435761 % 2**32:08x}",
        )
        for number, label in enumerate(labels)
        for n in range(clips)
    ]
    assert found(paths, lambda path: path.removeprefix("train/").removeprefix("test/").split("/")[0]) is None


def test_more_values_than_speakers_can_be_and_values_of_one_class_are_none():
    assert found([f"{label}/P{who}_{n}.wav" for label in "ab" for who in range(200) for n in range(3)]) is not None
    assert found([f"{label}/P{who}_{n}.wav" for label in "ab" for who in range(201) for n in range(3)]) is None
    assert found([f"{label}/{label}{who}_{n}.wav" for label in "ab" for who in range(9) for n in range(9)]) is None
    assert find_recurring([], []) is None


def test_a_few_speakers_of_one_class_do_not_hide_the_others():
    paths = [f"{label}/SM{who}_{n}.wav" for label in "abc" for who in range(8) for n in range(4)] + ["a/SF9_1.wav"]
    assert found(paths).values == (*("SF9",), *(f"SM{who}" for who in range(8)))


def clips(*paths):
    return [Utterance(path.rpartition(".")[0], Path("/corpus", path), "") for path in paths]


@pytest.mark.parametrize("pattern", ["x/(?P<speaker>[a-z]+)(\\d)", "x/([a-z]+)", "(?<=x/)[a-z]+"])
def test_the_group_of_the_name_counts_or_the_only_one_or_the_match(pattern):
    named = name_by_pattern(clips("x/ab1.wav", "x/cd2.wav"), pattern, "speaker", Path("/corpus"))
    assert [clip.speaker for clip in named] == ["ab", "cd"]
    labelled = name_by_pattern(
        clips("x/ab1.wav", "x/cd2.wav"), pattern.replace("speaker", "label"), "label", Path("/corpus")
    )
    assert [clip.label for clip in labelled] == ["ab", "cd"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", r"--data.label-pattern \(: not a regular expression"),
        ("(a)(b)", r"it has 2 groups and none called label; name one, as in \(\?P<label>\[a-z\]\+\)"),
        ("b1", r"it finds no label in 1 of 2 clips \(x/cd2.wav\); correct the pattern"),
    ],
)
def test_a_pattern_that_does_not_fit_is_told(pattern, message):
    with pytest.raises(UserError, match=message):
        name_by_pattern(clips("x/ab1.wav", "x/cd2.wav"), pattern, "label", Path("/corpus"))


def test_paths_are_below_the_root_or_else_the_id():
    assert paths_below(clips("x/ab1.wav"), Path("/corpus/x")) == ["ab1.wav"]
    assert paths_below(clips("x/ab1.wav"), Path("/other")) == ["x/ab1"]


@pytest.mark.parametrize("name", ["train", "Test", "test_set", "valid-2", "Training data", "devset", "eval_part1"])
def test_parts(name):
    assert is_part(name)


@pytest.mark.parametrize("name", ["", "sad", "attest", "retrained", "set", "contest winners", "trains"])
def test_no_parts(name):
    assert not is_part(name)


@pytest.mark.parametrize(
    ("name", "role"),
    [("Test1", "test"), ("Development", "validation"), ("train_set", "train"), ("eval", None), ("train_test", None)],
)
def test_role_of_a_part_is_told_where_it_is_certain(name, role):
    assert part_role(name) == role
    assert part_role("sad") is None
