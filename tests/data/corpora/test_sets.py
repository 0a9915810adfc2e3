"""Sets of other libraries: their readers are found, and each says which extra it needs."""

import sys

import pytest

from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus
from serjax.data.corpora.sets import SETS
from serjax.runtime.errors import UserError

EXTRAS = {"tfds": "tfds", "hf": "parquet", "audformat": "audformat"}
PACKAGES = ("pyarrow", "tensorflow_datasets", "audformat", "audb")


@pytest.mark.parametrize("corpus", SETS)
def test_without_the_packages_the_extra_is_named(tmp_path, monkeypatch, corpus):
    for package in PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)
    message = rf"are read by \S+, which is not installed; pip install 'serjax\[{EXTRAS[corpus]}\]'\.$"
    with pytest.raises(UserError, match=message):
        read_corpus(DataConfig(str(tmp_path), corpus))


@pytest.mark.parametrize("corpus", SETS)
def test_options_that_a_set_has_no_use_for(tmp_path, corpus):
    with pytest.raises(UserError, match="of a set sound alone is read"):
        read_corpus(DataConfig(str(tmp_path), corpus), videos=True)
    with pytest.raises(UserError, match=r"leave out --data\.audio-root"):
        read_corpus(DataConfig(str(tmp_path), corpus, audio_root="x"))


def test_a_split_is_for_sets(tmp_path):
    with pytest.raises(UserError, match=r"--data.split train: it is for --data.corpus tfds, hf, audformat"):
        read_corpus(DataConfig(str(tmp_path), split="train"))
