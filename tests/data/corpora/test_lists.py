"""Lists: what is written comes back, and every mistake is told with its file, line and key."""

import csv
import json
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serjax.data.corpora.label_names import is_missing
from serjax.data.corpora.lists import read_list
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

examples = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
letters = string.ascii_letters + string.digits + "äß语"
words = st.text(letters, min_size=1, max_size=6)
# Lower case alone: some file systems do not tell the cases apart.
names = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=6)
paths = st.builds(lambda folder, blank, name: f"{folder}/{name}{blank}1.wav", names, st.sampled_from(["", " "]), names)
labels = words.filter(lambda word: not is_missing(word))
clips = st.lists(st.tuples(names, paths, labels), min_size=1, max_size=6, unique_by=(lambda c: c[0], lambda c: c[1]))


def place(folder, relative):
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@examples
@given(clips=clips)
def test_tsv_round_trip(tmp_path, clips):
    expected = [Utterance(path.removesuffix(".wav"), place(tmp_path, path), label) for _, path, label in clips]
    text = "\n\n".join(f"{path}\t{label}" for _, path, label in clips)
    (tmp_path / "list.txt").write_text(text, encoding="utf-8")
    assert read_list(tmp_path / "list.txt", "tsv").utterances == expected


@examples
@given(clips=clips, commas=st.booleans())
def test_scp_round_trip(tmp_path, clips, commas):
    expected = [Utterance(name, place(tmp_path, path), label) for name, path, label in clips]
    text = "\n".join((", " if commas else " ").join(clip) for clip in clips)
    (tmp_path / "list.scp").write_text(text, encoding="utf-8")
    assert read_list(tmp_path / "list.scp", "scp").utterances == expected


stretches = st.tuples(st.floats(0, 50), st.floats(51, 100))


@examples
@given(
    clips=clips,
    extra=st.lists(st.tuples(st.none() | words, st.none() | words, st.none() | stretches), min_size=6, max_size=6),
)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_csv_and_jsonl_round_trip(tmp_path, kind, clips, extra):
    rows, expected = [], []
    for (name, path, label), (speaker, session, stretch) in zip(clips, extra, strict=False):
        start, end = stretch or (None, None)
        expected.append(
            Utterance(name, place(tmp_path, path), label, speaker, session, 0.0 if start is None else start, end)
        )
        rows.append({"id": name, "path": path, "label": label, "speaker": speaker, "session": session}
                    | {"start": start, "end": end})  # fmt: skip
    with (tmp_path / "list").open("w", encoding="utf-8", newline="") as file:
        if kind == "csv":
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        else:
            emobox = {"id": "key", "path": "wav", "label": "emo", "start": "start_time", "end": "end_time"}
            for row in rows:
                entry = {emobox.get(key, key): value for key, value in row.items() if value is not None}
                file.write(json.dumps(entry) + "\n")
    assert read_list(tmp_path / "list", kind).utterances == expected


def test_sentences_and_attributes_of_speakers(tmp_path):
    for name in "abc":
        place(tmp_path, f"{name}.wav")
    lines = ["path,label,Sex,age,sentence", 'a.wav,sad,F,29.5,"Tak, tak!"', "b.wav,glad,,,", "c.wav,sad,f,20,tak tak"]
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    a, b, c = read_list(tmp_path / "list.csv", "csv").utterances
    assert (a.text, a.attributes) == ("tak tak", (("gender", "female"), ("age", "20-29")))
    assert (b.text, b.attributes) == (None, ())
    assert c.text is a.text
    assert c.attributes is a.attributes
    (tmp_path / "list.csv").write_text("\n".join([*lines, "c.wav,sad,f,-1,"]) + "\n")
    with pytest.raises(UserError, match=r"list\.csv:5: the age is -1; give years"):
        read_list(tmp_path / "list.csv", "csv")


def test_emobox_as_published(tmp_path):
    place(tmp_path, "downloads/pavoque/angry.flac")
    entry = {"key": "pavoque-1", "dataset": "pavoque", "wav": "downloads/pavoque/angry.flac", "type": "raw",
             "sample_rate": 44100, "num_frame": 88200.0, "task": "category", "length": 2.0, "emo": "angry",
             "channel": 1, "start_time": 3.5, "end_time": 5.5, "spk": 7}  # fmt: skip
    (tmp_path / "data").mkdir()
    (tmp_path / "data/pavoque.jsonl").write_text(json.dumps(entry))
    (clip,) = read_list(tmp_path / "data/pavoque.jsonl", "jsonl", audio_root=tmp_path).utterances
    path = tmp_path / "downloads/pavoque/angry.flac"
    assert clip == Utterance("pavoque-1", path, "angry", speaker="7", start=3.5, end=5.5)
    entry["start"], entry["end"] = entry.pop("start_time"), entry.pop("end_time")
    (tmp_path / "data/other.jsonl").write_text(json.dumps(entry))
    assert read_list(tmp_path / "data/other.jsonl", "jsonl", audio_root=tmp_path).utterances == [clip]


def test_stretches_of_one_file_have_ids_of_their_own(tmp_path):
    place(tmp_path, "talk.wav")
    (tmp_path / "list.csv").write_text("path,label,start,end\ntalk.wav,a,0,1.5\ntalk.wav,b,1.5,\n")
    assert [clip.id for clip in read_list(tmp_path / "list.csv", "csv").utterances] == ["talk[0-1.5]", "talk[1.5-]"]


def test_absolute_paths_below_the_root_give_the_same_ids(tmp_path):
    path = place(tmp_path, "a/clip.wav")
    (tmp_path / "list.tsv").write_text(f"{path}\t0\n")
    assert read_list(tmp_path / "list.tsv", "tsv").utterances == [Utterance("a/clip", path, "0")]


@pytest.mark.parametrize("machine", ["one", "two/further"])
def test_absolute_paths_elsewhere_give_the_same_ids_on_every_machine(tmp_path, machine):
    paths = [place(tmp_path / machine / "corpus", name) for name in ("a/1.wav", "a/2.wav", "b/1.wav")]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/list.tsv").write_text("".join(f"{path}\t0\n" for path in paths))
    clips = read_list(tmp_path / "lists/list.tsv", "tsv").utterances
    assert [clip.id for clip in clips] == ["a/1", "a/2", "b/1"]
    assert [clip.path for clip in clips] == paths


def test_paths_without_suffix_below_a_folder_are_found(tmp_path):
    paths = [place(tmp_path, f"samples/{name}.wav") for name in ("one", "two")]
    (tmp_path / "list.tsv").write_text("one\tsad\ntwo\tglad\n")
    clips, notes = read_list(tmp_path / "list.tsv", "tsv")
    assert clips == [Utterance("one", paths[0], "sad"), Utterance("two", paths[1], "glad")]
    assert notes == ["No file lies where the list says; those in samples/, with .wav behind them are taken."]
    (tmp_path / "list.tsv").write_text("one\tsad\nthree\tglad\n")
    with pytest.raises(UserError, match=r"1 of its 2 files do not exist \(line 2: three\)"):
        read_list(tmp_path / "list.tsv", "tsv")


def test_windows_line_ends_and_byte_order_mark(tmp_path):
    path = place(tmp_path, "clip.wav")
    (tmp_path / "list.csv").write_bytes(b"\xef\xbb\xbfpath, label\r\n\r\nclip.wav, sad\r\n")
    assert read_list(tmp_path / "list.csv", "csv").utterances == [Utterance("clip", path, "sad")]


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("tsv", "", "the list has no entry"),
        ("tsv", "a.wav\tsad\nb.wav sad\n", "list:2: b.wav sad comes with 1 tab-separated fields; expected path<TAB>"),
        ("tsv", "a.wav\tsad\textra\n", "list:1: a.wav comes with 3"),
        ("tsv", "a.wav\tsad\n\na.wav\tsad\n", "list:3: the id a stands in line 1 already"),
        ("tsv", "a.wav\t\n", "list: 1 of 1 clips have no label.*line 1: empty"),
        ("tsv", "\tsad\n", "list:1: the path of this clip is empty"),
        ("tsv", b"a.wav\t\xff\xfe", "the list is not UTF-8 text"),
        ("scp", "one a.wav sad\ntwo b.wav\n", "list:2: two comes with 2 fields; expected `name path label`"),
        ("csv", "sound,label\na.wav,sad\n", "list:1: no column holds the path; found sound, label. Name it, as in"),
        ("csv", "path,feeling\n", "list:1: no column holds the label; found path, feeling. Name it, as in --data.colu"),
        ("csv", "", "no column holds the path; found none"),
        ("csv", "path,label\n", "the list has no entry"),
        ("csv", "path,label\n\na.wav,sad,3\n", "list:3: a.wav comes with 3 fields where the header has 2"),
        ("csv", "path,label,start\na.wav,sad,soon\n", "list:2: the start of a.wav is 'soon'; give a number of sec"),
        ("csv", "id,path,label,end\nx,a.wav,sad,inf\n", "list:2: the end of x is 'inf'"),
        ("csv", "path,label,start,end\na.wav,sad,2,1\n", "list:2: the stretch of a.wav goes from 2 s to 1.0 s"),
        ("csv", "path,label,start\na.wav,sad,-1\n", "list:2: the stretch of a.wav goes from -1 s to None s"),
        ("csv", "id,path,label\n,a.wav,sad\n", "list:2: the id of a.wav is empty"),
        ("jsonl", "{oops\n", "list:1: it cannot be read as JSON"),
        ("jsonl", '["a.wav"]\n', "list:1: this is not a JSON object"),
        ("jsonl", '{"key": "x", "wav": "a.wav"}\n', "list:1: x has no emo, or none that is text; found the keys key, "),
        ("jsonl", '{"wav": "a.wav", "emo": "sad"}\n', "list:1: this clip has no key"),
        ("jsonl", '{"key": "x", "wav": "a.wav", "emo": null}\n', "list: 1 of 1 clips have no label.*line 1: empty"),
        ("jsonl", '{"key": "x", "wav": "a.wav", "emo": "s", "start_time": []}\n', r"list:1: the start of x is \[\]"),
    ],
)
def test_every_mistake_is_told_with_its_place(tmp_path, kind, text, message):
    for name in ("a.wav", "b.wav"):
        place(tmp_path, name)
    (tmp_path / "list").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        read_list(tmp_path / "list", kind)


def test_missing_files_are_told_all_at_once(tmp_path):
    place(tmp_path, "there.wav")
    (tmp_path / "list.tsv").write_text("there.wav\t0\n" + "".join(f"clip{i}.wav\t0\n" for i in range(11)))
    with pytest.raises(UserError) as caught:
        read_list(tmp_path / "list.tsv", "tsv")
    assert "11 of its 12 files do not exist (line 2: clip0.wav, line 3: clip1.wav," in str(caught.value)
    assert "line 9: clip7.wav and 3 more)" in str(caught.value)
    assert f"start at {tmp_path}, so" in str(caught.value)
    assert len(read_list(tmp_path / "list.tsv", "tsv", skip_missing=True).utterances) == 12


def test_a_list_without_one_file_that_exists_is_an_error_even_when_bad_clips_are_skipped(tmp_path):
    (tmp_path / "list.tsv").write_text("clip.wav\t0\n")
    with pytest.raises(UserError, match="1 of its 1 files do not exist"):
        read_list(tmp_path / "list.tsv", "tsv", skip_missing=True)


def test_a_missing_list_is_told(tmp_path):
    with pytest.raises(UserError, match=r"none\.tsv: the list cannot be read \(No such file or directory\)"):
        read_list(tmp_path / "none.tsv", "tsv")


def test_values_and_votes_come_from_columns(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.wav").touch()
    text = "path,label,EmoAct,joy,n_sad,n_joy\na.wav,sad,3.5,0.1,3,1\nb.wav,joy,,NaN,0,4\n"
    (tmp_path / "list.csv").write_text(text)
    columns = ("joyfulness=joy", "votes.sad=n_sad", "votes.joy=n_joy")
    clips, notes = read_list(tmp_path / "list.csv", "csv", columns=columns)
    assert dict(clips[0].values) == {"arousal": 3.5, "joyfulness": 0.1}
    assert clips[1].values == ()
    assert [dict(clip.votes) for clip in clips] == [{"sad": 3, "joy": 1}, {"sad": 0, "joy": 4}]
    assert "EmoAct is the arousal" in notes[0]


def test_jsonl_has_values_too(tmp_path):
    (tmp_path / "a.wav").touch()
    (tmp_path / "list.jsonl").write_text('{"key": "a", "wav": "a.wav", "emo": "sad", "valence": 2, "v": [1]}\n')
    clips, _ = read_list(tmp_path / "list.jsonl", "jsonl")
    assert clips[0].values == (("valence", 2.0),)
    with pytest.raises(UserError, match=r"list.jsonl:1: the x of a is \[1\]; give a number"):
        read_list(tmp_path / "list.jsonl", "jsonl", columns=("x=v",))


def test_a_value_that_is_no_number_is_named(tmp_path):
    (tmp_path / "a.wav").touch()
    (tmp_path / "list.csv").write_text("path,label,arousal\na.wav,sad,high\n")
    with pytest.raises(UserError, match=r"list\.csv:2: the arousal of a\.wav is 'high'; give a number"):
        read_list(tmp_path / "list.csv", "csv")
