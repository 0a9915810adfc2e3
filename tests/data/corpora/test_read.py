"""From --data.root to clips: labels, speakers, the order of classes, and a sentence for what does not fit."""

import json
import shlex
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serjax.data.config import DataConfig, SyntheticConfig
from serjax.data.corpora import read as corpora
from serjax.data.corpora.filenames import RAVDESS_EMOTIONS
from serjax.data.corpora.read import describe, read_corpus
from serjax.data.corpora.synthetic import corpus as synthetic
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

SHARED = Path(__file__).parents[3] / "../shared/data"
real = pytest.mark.skipif(not SHARED.is_dir(), reason="the real recordings are not here")
examples = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fill(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def read(root, seed=0, **fields):
    return read_corpus(DataConfig(root=str(root), **fields), seed=seed)


RAVDESS = tuple(f"03-0{c}-0{e}-01-01-01-{a:02d}" for c in (1, 2) for e in range(1, 9) for a in (1, 2, 24))


@pytest.mark.parametrize("layout", ["Actor_{2}/{1}.wav", "{1}.wav", "{0}/Actor_{2}/{1}.wav", "train/{2}/{1}.wav"])
@pytest.mark.parametrize(
    ("corpus", "channels"), [("auto", "1"), ("ravdess", "1"), ("ravdess_song", "2"), ("ravdess_all", "12")]
)
def test_ravdess(tmp_path, layout, corpus, channels):
    fill(tmp_path, *(layout.format(("speech", "song")[name[4] == "2"], name, name[-2:]) for name in RAVDESS))
    found = read(tmp_path, corpus=corpus)
    assert (found.name, found.labels) == ("RAVDESS", RAVDESS_EMOTIONS)
    assert {clip.path.stem for clip in found.utterances} == {name for name in RAVDESS if name[4] in channels}
    assert any("songs are left out" in note or "sung" in note for note in found.notes)
    for clip in found.utterances:
        assert clip.label == RAVDESS_EMOTIONS[int(clip.path.stem[6:8]) - 1]
        assert clip.speaker == clip.path.stem[-2:]


EMODB = ("03a01Wa", "03a01Fa", "08b10Wb", "08b10Na", "08a02Fc", "16a02Nb")


@pytest.mark.parametrize(("suffix", "corpus"), [(".tsv", "auto"), (".txt", "auto"), (".list", "tsv")])
def test_a_list_is_known_by_its_suffix_or_by_name(tmp_path, suffix, corpus):
    fill(tmp_path / "sound", "a.wav", "b.wav", "c.wav")
    (tmp_path / f"clips{suffix}").write_text("a.wav\t10\nb.wav\t2\nc.wav\t0\n")
    found = read(tmp_path / f"clips{suffix}", corpus=corpus, audio_root=str(tmp_path / "sound"))
    assert found.name == "clips"
    assert found.labels == ("0", "2", "10")  # class numbers, not words
    assert found.utterances[0] == Utterance("a", tmp_path / "sound/a.wav", "10")


def test_missing_files_of_a_list_wait_for_the_store_where_bad_clips_are_skipped(tmp_path):
    fill(tmp_path, "a.wav", "b.wav")
    (tmp_path / "clips.tsv").write_text("a.wav\t0\nb.wav\t1\nc.wav\t1\n")
    with pytest.raises(UserError, match="1 of its 3 files do not exist"):
        read(tmp_path / "clips.tsv")
    assert len(read(tmp_path / "clips.tsv", skip_bad=True).utterances) == 3


def test_synthetic(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders, sizes = [], []
    render = synthetic.render

    def few(folder, seed, **size):
        folders.append(folder)
        sizes.append(tuple(size.values()))
        return render(folder, seed=seed, speakers=2, clips_per_class=2)

    monkeypatch.setattr(synthetic, "render", few)
    for config in (
        DataConfig(corpus="synthetic"),
        DataConfig(corpus="synthetic", cache="cache"),
        DataConfig(corpus="synthetic", root="here"),
        DataConfig(corpus="synthetic", synthetic=SyntheticConfig(speakers=40, clips_per_class=1000)),
    ):
        found = read_corpus(config, seed=3)
        assert found.labels == ("anger", "happy", "neutral", "sad")
        assert [clip.id for clip in found.utterances][:2] == ["anger/spk01_00", "anger/spk02_00"]
        assert {clip.speaker for clip in found.utterances} == {"spk01", "spk02"}
        assert found.notes[0] == "The clips are not recordings: rendered with seed 3."
    assert folders == [
        Path("checkpoints/synthetic-speech-seed3"),
        Path("cache/synthetic-speech-seed3"),
        Path("here"),
        Path("checkpoints/synthetic-speech-seed3-speakers40-clips1000"),
    ]
    assert sizes == [(10, 100, 10)] * 3 + [(40, 1000, 10)]


def label_map(tmp_path, mapping):
    (tmp_path / "map.json").write_text(json.dumps(mapping))
    return str(tmp_path / "map.json")


def test_labels_are_mapped_filtered_and_ordered(tmp_path):
    root = fill(tmp_path / "root", "ang/a.wav", "exc/b.wav", "hap/c.wav", "neu/d.wav", "oth/e.wav")
    mapping = label_map(tmp_path, {"ang": "anger", "exc": "happy", "hap": "happy", "neu": "neutral", "oth": "other"})
    found = read(root, label_map=mapping, labels=("neutral", "happy"))
    assert found.labels == ("neutral", "happy")
    assert [(clip.id, clip.label) for clip in found.utterances] == [
        ("exc/b", "happy"), ("hap/c", "happy"), ("neu/d", "neutral")]  # fmt: skip
    assert "2 clips that --data.labels does not name are left out (anger 1, other 1)." in found.notes
    assert describe(found.utterances, found.labels) == "3 clips, speakers unknown, 2 classes (neutral 1, happy 2)."
    with pytest.raises(UserError, match="No clip of neutral can be used"):
        describe(found.utterances[:2], found.labels)


def test_a_label_map_keeps_the_order_of_ravdess(tmp_path):
    fill(tmp_path, *(f"{name}.wav" for name in RAVDESS))
    to_four = dict(zip(RAVDESS_EMOTIONS, ("rest", "rest", "good", "bad", "bad", "bad", "bad", "awe"), strict=True))
    assert read(tmp_path, label_map=label_map(tmp_path, to_four)).labels == ("rest", "good", "bad", "awe")


def test_speakers_by_pattern_in_path_or_id(tmp_path):
    fill(tmp_path, "anger/f1-a.wav", "sad/m2-b.wav")
    pattern = r"/(?P<speaker>[fm]\d)-"
    assert [clip.speaker for clip in read(tmp_path, speaker_pattern=pattern).utterances] == ["f1", "m2"]
    (tmp_path / "list.scp").write_text("Ses01F_x anger/f1-a.wav ang\nSes02M_y sad/m2-b.wav sad\n")
    by_id = read(tmp_path / "list.scp", speaker_pattern=r"^Ses(?P<speaker>\d\d[FM])")
    assert [clip.speaker for clip in by_id.utterances] == ["01F", "02M"]
    by_path = read(tmp_path / "list.scp", speaker_pattern=pattern)
    assert [clip.speaker for clip in by_path.utterances] == ["f1", "m2"]


def urdu(root, speakers=6, clips=3):
    """A folder a class, and speakers in the names."""
    names = [f"SM{s}" if s % 3 else f"SF{s}" for s in range(1, speakers + 1)]
    return fill(
        root,
        *(
            f"{label}/{name}_C{10 * i + n}_{label[0]}{i}{n}.wav"
            for label in ("Angry", "Happy", "Neutral", "Sad")
            for i, name in enumerate(names)
            for n in range(clips)
        ),
    )


def test_speakers_in_names_are_offered_before_they_are_left_out(tmp_path):
    root = urdu(tmp_path / "URDU")
    with pytest.raises(UserError) as caught:
        read(root)
    sentence = str(caught.value)
    assert "each in several classes: SF3, SF6, SM1 and 3 more. Keep them apart with --data.speaker-pattern" in sentence
    assert sentence.endswith("(6 speakers), or go on without them with --data.speakers unknown.")
    offered = shlex.split(sentence[sentence.index("--data.speaker-pattern") : sentence.index(" (6 speakers)")])
    found = read(root, speaker_pattern=offered[1])
    assert {clip.speaker for clip in found.utterances} == {"SM1", "SM2", "SF3", "SM4", "SM5", "SF6"}
    assert found.unnamed is None
    unknown = read(root, speakers="unknown")
    assert {clip.speaker for clip in unknown.utterances} == {None}
    assert unknown.unnamed.offer == f"--data.speaker-pattern '{offered[1]}' (6 speakers)"
    assert read_corpus(DataConfig(root=str(root)), ask=False) == unknown


def test_speakers_that_are_known_cannot_be_unknown(tmp_path):
    fill(tmp_path, *(f"{name}.wav" for name in EMODB))
    with pytest.raises(
        UserError, match=r"--data\.speakers unknown: EMO-DB names its speakers, and folds keep them apart"
    ):
        read(tmp_path, speakers="unknown")


def test_labels_by_pattern(tmp_path):
    root = fill(
        tmp_path / "root", *(f"{who}/{n}-{label}.wav" for who in "xyz" for label in ("ang", "hap") for n in "12")
    )
    found = read(root, label_pattern=r"-(\w+)\.wav", speaker_pattern="^[xyz]")
    assert [(clip.id, clip.label, clip.speaker) for clip in found.utterances[:2]] == [
        ("x/1-ang", "ang", "x"), ("x/1-hap", "hap", "x")]  # fmt: skip
    assert found.labels == ("ang", "hap")
    with pytest.raises(UserError, match=r"no speaker is named.*: x, y, z\. Keep"):
        read(root, label_pattern=r"-(\w+)\.wav")
    with pytest.raises(UserError, match=r"it finds no label in 6 of 12 clips \(x/1-hap.wav"):
        read(root, label_pattern="ang")
    (tmp_path / "list.csv").write_text(
        "path,spk\n" + "".join(f"root/{who}/1-{x}.wav,{who}\n" for who in "xyz" for x in ("ang", "hap"))
    )
    listed = read(tmp_path / "list.csv", label_pattern=r"-(?P<label>\w+)\.wav")
    assert [(clip.label, clip.speaker) for clip in listed.utterances[:2]] == [("ang", "x"), ("hap", "x")]


def test_nemo_by_its_list(tmp_path):
    names = [f"{who}_{label}_{n}" for who in ("EB0", "DK1") for label in ("anger", "fear") for n in (1, 2)]
    fill(tmp_path, *(f"samples/{name}.wav" for name in names))
    rows = ["file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tsex\tage"]
    rows += [f"{name}\t{name.split('_')[1]}\tTak.\ttak\t{name[:3]}\tfemale\t20" for name in names]
    (tmp_path / "data.tsv").write_text("\n".join(rows) + "\n")
    columns = ("path=file_id", "label=emotion", "speaker=speaker_id")
    for found in (read(tmp_path / "data.tsv"), read(tmp_path / "data.tsv", columns=columns), read(tmp_path)):
        assert [
            clip.path.stem for clip in sorted(found.utterances, key=lambda clip: names.index(clip.path.stem))
        ] == names
        assert {(clip.speaker, clip.label) for clip in found.utterances} == {
            (who, label) for who in ("EB0", "DK1") for label in ("anger", "fear")}  # fmt: skip
        assert {clip.attributes for clip in found.utterances} == {(("gender", "female"), ("age", "20-29"))}
    assert {clip.text for clip in read(tmp_path).utterances} == {"1", "2"}
    assert "Columns not used: raw_text, normalized_text." in read(tmp_path / "data.tsv").notes
    with pytest.raises(UserError, match=r"it is a folder; --data\.columns is for a list"):
        read(tmp_path, columns=columns)


@pytest.mark.parametrize(
    ("files", "fields", "message"),
    [
        ([], {"root": ""}, "--data.root is empty; give a folder"),
        ([], {"root": "none"}, "--data.root none: there is no such folder or list"),
        ([], {}, "there are no sound files below it; give the folder"),
        (["a/b.m4a"], {}, "there are no sound files below it; convert its 1 .m4a files to FLAC or WAV"),
        (["list.doc"], {"root": "list.doc"}, r"list.doc: a file is read as a list, known by .*\(.tsv, .txt, .scp,"),
        (["list.tsv"], {"root": "list.tsv", "corpus": "ravdess"}, r"by --data.corpus \(tsv, .*\), which is ravdess"),
        (["a/b.wav"], {"corpus": "csv"}, "it is a folder; --data.corpus csv reads a list file"),
        (["a/b.wav", "c/d.wav", "e.wav"], {}, r"1 files lie directly in it and have no label \(e.wav\)"),
        (["a/b.wav", "a/c/d.wav"], {}, "a is its only folder and so the only class"),
        (["train/b.wav", "test/c.wav"], {}, r"2 files lie directly in its folders test, train and have no label"),
        (["train/a/b.wav", "test/a/c.wav"], {}, "a is its only folder and so the only class"),
        (["a/b.wav", "a/b.flac", "c/d.wav"], {}, "a/b.flac and a/b.wav would both be the clip a/b"),
        ([f"{n}.wav" for n in EMODB] + ["x.wav"], {}, r"6 of 7 file names are those of EMO-DB, others are not \(x\)"),
        (["a/b.wav", "c/d.wav"], {"corpus": "emodb"}, r"2 file names are not those of EMO-DB \(a/b, c/d\)"),
        (["03a01Wa.wav", "03a01Wb.wav"], {}, r"EMO-DB: there is only one class \(anger 2\); training needs"),
        (["a/b.wav", "c/d.wav"], {"labels": ("a", "x", "y")}, "no clip is labelled x, y; the corpus has a 1, c 1"),
        (["a/b.wav", "c/d.wav"], {"labels": ("a", "c", "a")}, "--data.labels a c a: a label stands there twice"),
        (["a/b.wav", "c/d.wav"], {"labels": ("a",)}, r"there is only one class \(a 1\)"),
        (["a/b.wav", "c/d.wav"], {"speaker_pattern": "("}, r"--data.speaker-pattern \(: not a regular expression"),
        (["a/b.wav", "c/d.wav"], {"speaker_pattern": "(b)(w)"}, "it has 2 groups and none called speaker; name one"),
        (["a/b.wav", "c/d.wav"], {"speaker_pattern": "(?P<speaker>b)"}, r"no speaker in 1 of 2 clips \(c/d.wav\)"),
        (["a/b.wav", "c/d.wav"], {"max_clips": 1}, "--data.max-clips 1: 2 classes need a clip each; give 2 or more"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(tmp_path, monkeypatch, files, fields, message):
    monkeypatch.chdir(fill(tmp_path, *files))
    with pytest.raises(UserError, match=message):
        read_corpus(DataConfig(**{"root": str(tmp_path)} | fields))


def test_an_unmapped_label_is_told(tmp_path):
    root = fill(tmp_path / "root", "a/b.wav", "c/d.wav")
    with pytest.raises(UserError, match=r"map\.json: the label map has no entry for c; add"):
        read(root, label_map=label_map(tmp_path, {"a": "x"}))


def test_labels_that_are_not_mapped_are_left_out_where_classes_are_chosen(tmp_path):
    root = fill(tmp_path / "root", "a/b.wav", "c/d.wav", "e/f.wav", "e/g.wav")
    found = read(root, label_map=label_map(tmp_path, {"a": "x", "c": "y"}), labels=("x", "y"))
    assert [clip.label for clip in found.utterances] == ["x", "y"]
    assert any(
        note == "2 clips whose labels the map does not have are left out, as --data.labels chooses (e 2)."
        for note in found.notes
    )


clips = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(("x", "y", "z", None))), min_size=3, max_size=60)


@examples
@given(
    clips=clips.filter(lambda clips: len({label for label, _ in clips}) == 3), seed=st.integers(0, 99), data=st.data()
)
def test_a_share_is_even_ordered_and_decided_by_the_seed(clips, seed, data):
    utterances = [Utterance(str(i), Path(), label, speaker) for i, (label, speaker) in enumerate(clips)]
    count = data.draw(st.integers(3, len(clips) + 3))
    chosen = corpora._share(utterances, "abc", count, seed)
    assert chosen == corpora._share(utterances, "abc", count, seed)
    assert len(chosen) == min(count, len(clips))
    assert [int(clip.id) for clip in chosen] == sorted({int(clip.id) for clip in chosen})
    has, got = Counter(clip.label for clip in utterances), Counter(clip.label for clip in chosen)
    most = max(got.values())
    assert all(got[label] >= most - 1 or got[label] == has[label] for label in "abc")


def test_a_share_is_even_over_speakers(tmp_path):
    fill(tmp_path, *(f"{label}/spk{speaker}-{n}.wav" for label in "abc" for speaker in range(6) for n in range(9)))
    fields = {"speaker_pattern": r"(?P<speaker>spk\d)", "max_clips": 18}
    found = read(tmp_path, **fields)
    assert set(Counter(clip.speaker for clip in found.utterances).values()) == {3}
    assert set(Counter((clip.speaker, clip.label) for clip in found.utterances).values()) == {1}
    assert found.utterances != read(tmp_path, seed=1, **fields).utterances
    assert "--data.max-clips uses 18 of 162 clips, an even share of every class." in found.notes
    unknown = {"speakers": "unknown"}
    assert read(tmp_path, max_clips=162, **unknown).utterances == read(tmp_path, **unknown).utterances


@real
def test_the_real_ravdess():
    found = read(SHARED / "ravdess")
    assert (found.name, found.labels, len(found.utterances)) == ("RAVDESS", RAVDESS_EMOTIONS, 1440)
    assert Counter(clip.label for clip in found.utterances) == dict.fromkeys(RAVDESS_EMOTIONS, 192) | {"neutral": 96}
    assert Counter(clip.speaker for clip in found.utterances) == {f"{actor:02d}": 60 for actor in range(1, 25)}


@real
@pytest.mark.parametrize("root", ["emodb4", "emodb4/train"])
def test_the_real_emodb(root):
    found = read(SHARED / root)
    counts = Counter(clip.label for clip in found.utterances)
    assert (found.name, found.labels) == ("EMO-DB", ("anger", "happy", "neutral", "sad"))
    assert [counts[label] for label in found.labels] == [127, 71, 79, 62]
    assert len({clip.speaker for clip in found.utterances}) == 10


def test_labels_are_listed_in_the_order_of_classes_and_not_of_clips(tmp_path):
    fill(tmp_path, "1.wav", "2.wav", "3.wav", "4.wav")
    (tmp_path / "list.csv").write_text("path,label\n1.wav,sad\n2.wav,happy\n3.wav,angry\n4.wav,happy\n")
    with pytest.raises(UserError, match=r"no clip is labelled x; the corpus has angry 1, happy 2, sad 1\."):
        read_corpus(DataConfig(root=str(tmp_path / "list.csv"), labels=("x", "sad")))
    corpus = read_corpus(DataConfig(root=str(tmp_path / "list.csv"), labels=("sad", "angry")))
    assert corpus.labels == ("sad", "angry")
    (tmp_path / "list.csv").write_text("path,label\n1.wav,sad\n2.wav,happy\n3.wav,angry\n4.wav,calm\n")
    corpus = read_corpus(DataConfig(root=str(tmp_path / "list.csv"), labels=("sad", "happy")))
    assert "2 clips that --data.labels does not name are left out (angry 1, calm 1)." in corpus.notes
