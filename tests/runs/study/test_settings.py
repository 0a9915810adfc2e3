"""Words of the command line as encoders and corpora, and what cannot be."""

from dataclasses import replace

import pytest

from serjax.runs.study.settings import StudyCorpus, StudyEncoder, parse_corpora, parse_encoder, parse_protocol
from serjax.runtime.errors import UserError


def test_encoders_are_named_after_their_source_unless_a_name_is_given(tmp_path):
    (tmp_path / "mine").mkdir()
    assert parse_encoder("serjax-tiny") == StudyEncoder("serjax-tiny", "serjax-tiny")
    assert parse_encoder("w=microsoft/wavlm-base") == StudyEncoder("w", "microsoft/wavlm-base")
    assert parse_encoder("facebook/hubert-base-ls960").name == "hubert-base-ls960"
    assert parse_encoder(str(tmp_path / "mine")) == StudyEncoder("mine", str(tmp_path / "mine"))
    assert parse_encoder("random:wavlm:tiny") == StudyEncoder("random-wavlm-tiny", None, "wavlm", "tiny")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("serjax-tinny", r"no such directory or checkpoint \(did you mean serjax-tiny\?\)"),
        ("./nowhere/at/all", "--encoders ./nowhere/at/all: there is no such directory or checkpoint; give"),
        ("random:hubert:huge", "for hubert with a size of tiny, small, base, large"),
        ("random:hubbert:tiny", "with a family of data2vec-audio"),
    ],
)
def test_an_encoder_that_is_none_gets_a_sentence(word, message):
    with pytest.raises(UserError, match=message):
        parse_encoder(word)


def test_an_unknown_protocol_is_answered_with_the_nearest():
    assert parse_protocol("cross") == "cross"
    with pytest.raises(UserError, match=r"--protocol emobx: there is no such protocol; did you mean emobox\?"):
        parse_protocol("emobx")
    with pytest.raises(UserError, match="there are emobox, speaker, cross"):
        parse_protocol("x")


def test_corpora_take_options_by_their_names(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "list.csv").touch()
    found = parse_corpora(
        [str(tmp_path / "a"), f"b={tmp_path / 'list.csv'}", "synthetic"],
        {"speaker_pattern": [r"a=spk(\d)=x"], "label_map": [f"b={tmp_path / 'map.json'}"]},
        "speaker",
    )
    assert found == (
        StudyCorpus("a", str(tmp_path / "a"), speaker_pattern=r"spk(\d)=x"),
        StudyCorpus("b", str(tmp_path / "list.csv"), label_map=str(tmp_path / "map.json")),
        StudyCorpus("synthetic", "", kind="synthetic"),
    )


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (["x=nowhere"], {}, "--corpora x=nowhere: there is no such folder or list"),
        (["a=.", "a=.."], {}, "two have the same name"),
        (["a=."], {"label_map": ["map.json"]}, "--label-map map.json: say of which corpus, as in --label-map a=map"),
        (["a=."], {"label_map": ["b=map.json"]}, "--label-map b=map.json: there is no corpus b, only a"),
    ],
)
def test_corpora_that_cannot_be_get_a_sentence(words, options, message):
    with pytest.raises(UserError, match=message):
        parse_corpora(words, options, "speaker")


def test_a_folder_of_emobox_brings_list_map_and_folds(tmp_path):
    folder = tmp_path / "EmoBox" / "data" / "little"
    (folder / "fold_1").mkdir(parents=True)
    (folder / "little.jsonl").touch()
    (folder / "label_map.json").write_text("{}")
    (found,) = parse_corpora([str(folder)], {}, "emobox")
    assert found == StudyCorpus(
        "little",
        str(folder / "little.jsonl"),
        label_map=str(folder / "label_map.json"),
        audio_root=str(tmp_path / "EmoBox"),
        folds=str(folder),
    )
    (found,) = parse_corpora([str(folder)], {"audio_root": [f"little={tmp_path}"]}, "emobox")
    assert found.audio_root == str(tmp_path)
    with pytest.raises(UserError, match="--protocol emobox needs EmoBox's folds; give a folder of EmoBox's data"):
        parse_corpora([f"x={tmp_path}"], {}, "emobox")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoders": ()}, "--encoders is empty"),
        ({"encoders": (StudyEncoder("a", "x"), StudyEncoder("a", "y"))}, "--encoders: a stands there twice"),
        ({"corpora": (StudyCorpus("a", "."),)}, "--protocol cross tests on other corpora, but there is one"),
        ({"protocol": "emobox", "max_clips": 9}, "--max-clips is given, but the folds of --protocol emobox"),
        ({"learning_rates": (0.1, 0.1)}, "--learning-rates: a rate stands there twice"),
        ({"name": "a/b"}, "it must be the name of a folder"),
    ],
)
def test_a_study_that_cannot_be_gets_a_sentence(study, changes, message):
    with pytest.raises(UserError, match=message):
        replace(study, **changes).check()
