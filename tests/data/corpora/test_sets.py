"""Sets of other libraries: their readers are found, and each says which extra it needs."""

import subprocess
import sys

import pytest

from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus
from serjax.data.corpora.sets import SETS
from serjax.runtime.errors import UserError

EXTRAS = {"tfds": "tfds", "hf": "parquet", "audformat": "audformat"}
HIDE = "import sys; sys.modules |= dict.fromkeys(['pyarrow', 'tensorflow_datasets', 'audformat', 'audb'])\n"
READ = """
from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus
from serjax.runtime.errors import UserError
for corpus in sys.argv[2:]:
    try:
        read_corpus(DataConfig(sys.argv[1], corpus))
    except UserError as error:
        print(error)
"""


def test_without_the_packages_the_extra_is_named(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", HIDE + READ, str(tmp_path), *SETS], capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(SETS), done.stderr
    for line, corpus in zip(lines, SETS, strict=True):
        assert line.endswith(f"which is not installed; pip install 'serjax[{EXTRAS[corpus]}]'.")


@pytest.mark.parametrize("corpus", SETS)
def test_options_that_a_set_has_no_use_for(tmp_path, corpus):
    with pytest.raises(UserError, match="of a set sound alone is read"):
        read_corpus(DataConfig(str(tmp_path), corpus), videos=True)
    with pytest.raises(UserError, match=r"leave out --data\.audio-root"):
        read_corpus(DataConfig(str(tmp_path), corpus, audio_root="x"))


def test_a_split_is_for_sets(tmp_path):
    with pytest.raises(UserError, match=r"--data.split train: it is for --data.corpus tfds, hf, audformat"):
        read_corpus(DataConfig(str(tmp_path), split="train"))
