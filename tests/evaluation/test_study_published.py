"""EmoBox's table: whole, in percent, and found by the names of checkpoints and folders."""

import csv
from collections import Counter

from serjax.evaluation.study_published import CHECKPOINTS, FILE, published


def test_the_table_has_five_encoders_on_32_corpora():
    rows = list(csv.DictReader(FILE.read_text(encoding="utf-8").splitlines()))
    assert Counter(row["corpus"] for row in rows).most_common()[-1][1] == 5
    assert len({row["corpus"] for row in rows}) == 32
    assert {row["encoder"] for row in rows} == set(CHECKPOINTS.values())
    assert all(10 < float(row[name]) < 100 for row in rows for name in ("ua", "wa", "macro_f1"))


def test_scores_are_found_by_checkpoint_and_folder():
    encoders = [("w", "microsoft/wavlm-large"), ("h", "/models/hubert-base-ls960"), ("own", "serjax-tiny"), ("r", None)]
    found = published([("mine", "ravdess"), ("other", "nothing")], encoders)
    assert found["scores"] == {
        "mine": {
            "w": {"ua": 72.0, "wa": 72.22, "macro_f1": 71.42},
            "h": {"ua": 65.43, "wa": 66.21, "macro_f1": 65.31},
        }
    }
    assert list(found["others"]["mine"]) == ["wav2vec2-base", "hubert-large", "wavlm-base"]
    assert "Interspeech 2024" in found["source"]
