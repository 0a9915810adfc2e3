"""The classes of a study: those in common, by the maps, and what leaves none."""

import json
from dataclasses import replace

import pytest

from serjax.runs.study.corpora import data_config, with_classes
from serjax.runs.study.settings import StudyCorpus
from serjax.runtime.errors import UserError


def with_map(study, tmp_path, **labels):
    (tmp_path / "own.json").write_text(json.dumps(labels))
    one, two = study.corpora
    return replace(study, corpora=(one, replace(two, label_map=str(tmp_path / "own.json"))))


def test_classes_in_common_are_those_of_the_mapped_labels(study):
    assert with_classes(study).labels == ("high", "low")


def test_other_protocols_keep_the_classes_of_each_corpus(study):
    assert with_classes(replace(study, protocol="speaker")).labels is None
    assert with_classes(replace(study, protocol="speaker", labels=("low", "high"))).labels == ("low", "high")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"deep": "deep", "high": "tall"}, r"no class in common \(one has high, low, odd; two has deep, tall\)"),
        ({"deep": "deep", "high": "high"}, "only the class high in common"),
        ({"deep": "low", "high": "high", "shrill": "odd"}, "it leaves odd without a clip; two is labelled deep, high"),
    ],
)
def test_corpora_and_maps_that_do_not_fit_get_a_sentence(study, tmp_path, labels, message):
    with pytest.raises(UserError, match=message):
        with_classes(with_map(study, tmp_path, **labels))


def test_a_map_may_lack_labels_across_corpora_alone(study, tmp_path):
    corpora = (study.corpora[0], replace(study.corpora[0], name="again"))
    own = with_map(replace(study, corpora=corpora), tmp_path, low="low", high="high")
    assert with_classes(own).labels == ("high", "low")
    with pytest.raises(UserError, match="the label map has no entry for odd"):
        with_classes(replace(own, protocol="speaker"))


def test_labels_that_a_corpus_lacks_get_a_sentence(study):
    with pytest.raises(UserError, match="--labels: no clip of two is labelled odd; it has low, high"):
        with_classes(replace(study, labels=("low", "odd")))


def test_lists_of_emobox_without_speakers_are_read_without(study, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"key": "a-1", "wav": "a.wav", "emo": "sad"}\n')
    (tmp_path / "b.jsonl").write_text('{"key": "a-1", "wav": "a.wav", "emo": "sad", "spk": "x"}\n')
    corpus = StudyCorpus("a", str(tmp_path / "a.jsonl"), folds=str(tmp_path))
    assert data_config(study, corpus).speakers == "unknown"
    assert data_config(study, replace(corpus, root=str(tmp_path / "b.jsonl"))).speakers == "auto"
    assert data_config(study, replace(corpus, speaker_pattern="x")).speakers == "auto"
    assert data_config(study, replace(corpus, folds=None)).speakers == "auto"
