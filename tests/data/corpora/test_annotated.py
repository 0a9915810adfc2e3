"""Corpora with files of labels: all are words of the option, and none is found where it is not."""

from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from serjax.data.config import DataConfig
from serjax.data.corpora.annotated import ANNOTATED, find_annotated
from serjax.data.corpora.filenames import LAYOUTS, VARIANTS
from serjax.data.corpora.read import read_corpus
from serjax.runtime.errors import UserError


def test_every_row_is_a_word_of_the_option():
    assert set(ANNOTATED) <= set(get_args(get_type_hints(DataConfig)["corpus"]))


def test_every_word_and_source_stands_in_the_documentation():
    page = (Path(__file__).parents[3] / "docs/reference/corpora.md").read_text(encoding="utf-8")
    for kind, corpus in {**LAYOUTS, **ANNOTATED}.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{kind}`"))
        assert corpus.title in row
        assert corpus.source in row or "as above" in row
    for kind in VARIANTS:
        assert f"| `{kind}`" in page


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("Labels/labels_consensus.csv", "", "msp_podcast"),
        ("MELD.Raw/train/train_sent_emo.csv", "", "meld"),
        ("Evalution.txt", "UTD-IMPROV-S01A-F01-P-FM01.avi; N;", "msp_improv"),
        ("Annotations_BAUM1s.csv", "", "baum1s"),
        ("Session1/dialog/EmoEvaluation/a.txt", "", "iemocap"),
        ("a/b/c/train_sent_emo.csv", "", None),
        ("Evaluation.txt", "", None),
        ("labels.txt", "", None),
    ],
)
def test_it_is_told_by_its_files(tmp_path, path, text, kind):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(text)
    assert find_annotated(tmp_path) == kind


@pytest.mark.parametrize("kind", ANNOTATED)
def test_another_folder_is_told(tmp_path, kind):
    with pytest.raises(UserError, match="; give the folder") as caught:
        read_corpus(DataConfig(root=str(tmp_path), corpus=kind))
    assert str(tmp_path) in str(caught.value)
