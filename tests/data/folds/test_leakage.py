import hashlib
from pathlib import Path

import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.data.config import FoldsConfig
from serjax.data.corpora.lists import read_list
from serjax.data.folds.fold import Fold
from serjax.data.folds.leakage import check_folds
from serjax.data.folds.make import make_folds
from serjax.data.folds.recordings import kept_together
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

DATA = Path(__file__).parents[3] / "../shared/data"


def corpus(speakers: str, labels: str) -> list[Utterance]:
    """Return clips called a, b, c ..., one for each letter; a dot is a clip that names no speaker."""
    return [
        Utterance(chr(97 + i), Path(f"{i}.wav"), label, None if who == "." else who)
        for i, (who, label) in enumerate(zip(speakers, labels, strict=True))
    ]


def check(folds, clips, hashes, *, allow=False):
    return check_folds(folds, clips, hashes, allow_speaker_overlap=allow)


def test_silent_clips_are_called_so_and_not_wrongly_labelled():
    clips = corpus("xxyyzz", "ABABAB")
    folds = (Fold(1, (0, 1), (2, 3), (4, 5)),)
    with pytest.raises(UserError, match="b and c are silent: all samples of each are the same; get them again"):
        check_folds(folds, clips, "011345", allow_speaker_overlap=False, silent=lambda i: i == 1)


FAULTS = Path(__file__).parents[3] / "../shared/faults/59_stretches_of_one_recording"


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the inputs that failed are not here")
@pytest.mark.parametrize("kind", ["auto", "split", "every_tenth"])
def test_stretches_of_one_recording_that_failed_stand_on_one_side(kind):
    clips, _ = read_list(FAULTS / "stretches.csv", "csv")
    settings = FoldsConfig(kind=kind, count=4)
    folds = make_folds(clips, settings, 0)
    assert len(folds) == (4 if kind == "auto" else 1)
    for fold in folds:
        train, validation, test = ({clips[i].path for i in part} for part in (fold.train, fold.validation, fold.test))
        assert len(train | validation | test) == len(train) + len(validation) + len(test)
    checked, notes = check_folds(
        folds, clips, list(map(str, range(len(clips)))), allow_speaker_overlap=False, kept=kept_together(clips)
    )
    assert checked == folds
    assert any("128 clips in 16 groups are stretches of one recording that overlap" in note for note in notes)


def test_given_folds_lose_the_stretches_and_versions_of_what_they_test():
    stretches = [Utterance(f"s{i}", Path("s.wav"), "AB"[i % 2], start=i, end=i + 1.5) for i in range(4)]
    far = [Utterance(f"t{i}", Path("t.wav"), "AB"[i], start=9.0 * i, end=9.0 * i + 1) for i in range(2)]
    pair = [Utterance(x, Path(f"{x}-01-03-01-01-01-05.wav"), "A") for x in ("01", "03")]
    others = [Utterance(f"o{i}", Path(f"o{i}.wav"), "AB"[i % 2]) for i in range(4)]
    clips = [*stretches, *far, *pair, *others]
    fold = Fold(2, (0, 4, 6, 8, 9), (10, 11), (1, 2, 3, 5, 7))
    hashes = list(map(str, range(len(clips))))
    (found,), notes = check_folds([fold], clips, hashes, allow_speaker_overlap=True, kept=kept_together(clips))
    assert found.train == (4, 8, 9)
    told = "\n".join(notes)
    assert "4 clips in 1 groups are stretches of one recording that overlap (s0 = s1 = s2); 1 of" in told
    assert "2 clips in 1 groups are files of one recording by their names (01 = 03); 1 of" in told
    assert "Stretches of 1 recording stand on both sides of fold 2 (t.wav)" in told


def test_clean_folds_pass_without_a_word():
    clips = corpus("xxyyzz", "ABABAB")
    folds = (Fold(1, (0, 1), (2, 3), (4, 5)), Fold(2, (4, 5), (0, 1), (2, 3)))
    assert check(folds, clips, "012345") == (folds, ())


def test_a_speaker_on_both_sides_is_refused_by_name():
    clips = corpus("xxxyzx", "ABABAB")
    fold = Fold(4, (0, 1), (2, 3), (4, 5))
    with pytest.raises(UserError) as error:
        check([fold], clips, "012345")
    assert str(error.value) == (
        "fold 4: 1 speaker (x) can be heard in its train part and in its test part, as in a and f; use --folds.kind "
        "speaker, or accept speaker-dependent scores with --folds.allow-speaker-overlap."
    )


@pytest.mark.parametrize(
    ("speakers", "parts"),
    [
        ("xxzyzz", "in its validation part and in its test part, as in c and e"),
        ("xxyxzz", "in its train part and in its validation part, as in a and d"),
    ],
)
def test_validation_speakers_must_be_apart_from_both_sides(speakers, parts):
    with pytest.raises(UserError, match=parts):
        check([Fold(1, (0, 1), (2, 3), (4, 5))], corpus(speakers, "ABABAB"), "012345")


def test_overlap_that_is_allowed_is_told_once_for_all_folds():
    clips = corpus("xyxyzz", "ABABAB")
    folds = (Fold(1, (0, 1), (4, 5), (2, 3)), Fold(2, (2, 3), (4, 5), (0, 1)), Fold(3, (0, 1), (2, 3), (4, 5)))
    cleaned, notes = check(folds, clips, "012345", allow=True)
    assert cleaned == folds
    assert notes == (
        "Speakers can be heard in the train part and in the test part of folds 1, 2 (2 speakers): scores are "
        "speaker-dependent.",
        "Speakers can be heard in the train part and in the validation part of fold 3 (2 speakers): scores are "
        "speaker-dependent.",
    )


def test_validation_on_the_test_part_is_no_overlap_of_the_two():
    folds = (Fold(1, (0, 1), (2, 3), (2, 3)),)
    assert check(folds, corpus("xxyy", "ABAB"), "0123") == (folds, ())


def test_unnamed_speakers_are_told():
    folds = (Fold(1, (0, 1), (2, 3), (4, 5)),)
    cleaned, notes = check(folds, corpus("xx..y.", "ABABAB"), "012345")
    assert cleaned == folds
    assert notes == ("3 of 6 clips name no speaker: whether folds share speakers cannot be checked.",)


@pytest.mark.parametrize("parts", [((0, 1), (2, 3), (1, 4)), ((0, 1), (2, 4), (3, 4)), ((0, 1, 2), (2, 3), (4,))])
def test_a_clip_on_both_sides_is_refused_by_name(parts):
    twice = next(i for i in range(5) if sum(i in part for part in parts) == 2)
    with pytest.raises(
        UserError, match=rf"fold 3: 1 clips are in its .+ part and in its .+ part \({chr(97 + twice)}\)"
    ):
        check([Fold(3, *parts)], corpus(".....", "ABABA"), "01234", allow=True)


def test_an_id_that_two_clips_share_counts_as_one_clip():
    clips = corpus("...", "ABA")
    clips[2] = Utterance("a", Path("elsewhere.wav"), "A")
    with pytest.raises(UserError, match=r"in its train part and in its test part \(a\)"):
        check([Fold(1, (0, 1), (), (2,))], clips, "012")


def test_the_copy_that_is_tested_or_else_validates_stays():
    clips = corpus("......", "ABAAAA")
    # a, c, d are one recording: in turn in training, validation and test.
    folds = (Fold(1, (0, 1, 4), (2, 5), (3,)), Fold(2, (0, 1, 3, 4), (2,), (5,)), Fold(3, (1, 4), (5,), (0, 2, 3)))
    cleaned, notes = check(folds, clips, ["same", "b", "same", "same", "e", "f"])
    assert cleaned == (Fold(1, (1, 4), (5,), (3,)), Fold(2, (1, 4), (2,), (5,)), folds[2])
    assert notes[1:] == (
        "a, c and d hold the same samples; a is left out of the train part of folds 1, 2, c is left out of the "
        "validation part of fold 1, d is left out of the train part of fold 2.",
    )


def test_copies_within_a_part_stay_and_are_told():
    clips = corpus("xxxyyzz", "ABBABAB")
    folds = (Fold(1, (0, 1, 2), (3, 4), (5, 6)),)
    cleaned, notes = check(folds, clips, ["a", "same", "same", "d", "e", "f", "g"])
    assert cleaned == folds
    assert notes == ("b and c hold the same samples; no fold divides them, and none is left out.",)


def test_copies_under_two_labels_are_refused():
    clips = corpus("xxyyzz", "ABABAB")
    with pytest.raises(UserError) as error:
        check([Fold(1, (0, 1), (2, 3), (4, 5))], clips, ["a", "same", "same", "d", "e", "f"])
    assert str(error.value) == (
        "b and c hold the same samples, but are labelled A and B; correct the labels or delete the copy that is wrong."
    )


@pytest.mark.parametrize(
    ("labels", "fold", "message"),
    [
        (
            "ABBAAB",
            Fold(1, (0, 1), (4, 5), (2, 3)),
            "Without clips that others repeat, fold 1: its train part has no clip of B",
        ),
        (
            "AABABB",
            Fold(1, (3, 4), (1,), (2, 0)),
            "Without clips that others repeat, fold 1: its validation part has no",
        ),
    ],
)
def test_a_part_must_be_left_when_copies_are_gone(labels, fold, message):
    clips = corpus("......", labels)
    first, second = (1, 2) if labels == "ABBAAB" else (0, 1)
    hashes = [str(i) for i in range(6)]
    hashes[second] = hashes[first]
    with pytest.raises(UserError, match=message):
        check([fold], clips, hashes)


@settings(max_examples=60)
@given(st.data())
def test_no_samples_are_on_both_sides_and_nothing_else_goes(data):
    count = data.draw(st.integers(16, 24))
    labels = "AABB" * count
    hashes = [f"{labels[i]}{data.draw(st.integers(0, 9))}" for i in range(count)]
    clips = [Utterance(str(i), Path(), labels[i]) for i in range(count)]
    folds = make_folds(clips, FoldsConfig(count=3, validation_share=0.4), data.draw(st.integers(0, 99)))
    try:
        cleaned, notes = check(folds, clips, hashes)
    except UserError as error:
        assert "part has no clip" in str(error)  # noqa: PT017 - copies may well be all that a part held
        return
    for before, after in zip(folds, cleaned, strict=True):
        seen = [{hashes[i] for i in part} for part in (after.train, after.validation, after.test)]
        assert len(set.union(*seen)) == sum(map(len, seen))
        assert after.test == before.test
        gone = set(before.train + before.validation) - set(after.train + after.validation)
        later = {hashes[i] for i in before.validation + before.test}
        assert all(hashes[i] in later for i in gone)
        assert all(any(f"{i} is left out of" in note for note in notes) for i in gone)
        # Copies that met no copy on another side are all there.
        assert {i for i in before.train if hashes[i] not in later} == set(after.train)


@pytest.mark.skipif(not (DATA / "ravdess").is_dir(), reason="the RAVDESS recordings are not here")
def test_the_pair_that_ravdess_holds_twice_is_found():
    paths = sorted((DATA / "ravdess").glob("Actor_0[1-8]/*.flac"))
    clips = [
        Utterance(f"{path.parent.name}/{path.stem}", path, path.stem.split("-")[2], path.parent.name) for path in paths
    ]
    hashes = [
        hashlib.blake2b(sf.read(path, dtype="int16")[0].tobytes()).hexdigest() if "Actor_07" in str(path) else str(path)
        for path in paths
    ]
    pair = "Actor_07/03-01-03-01-02-01-07 and Actor_07/03-01-03-01-02-02-07 hold the same samples; "
    folds = make_folds(clips, FoldsConfig(kind="speaker", count=4), 0)
    assert check(folds, clips, hashes) == (folds, (pair + "no fold divides them, and none is left out.",))

    clips = [Utterance(clip.id, clip.path, clip.label) for clip in clips]
    folds = make_folds(clips, FoldsConfig(kind="stratified", count=5), 0)
    cleaned, notes = check(folds, clips, hashes)
    assert notes[1].startswith(pair + "Actor_07/03-01-03-01-02-0")
    dropped = [len(a.train + a.validation) - len(b.train + b.validation) for a, b in zip(folds, cleaned, strict=True)]
    assert sum(dropped) >= 2
