"""Published scores of EmoBox, by corpus and encoder, beside which a study's stand."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from serjax.evaluation.metrics import METRICS

FILE = Path(__file__).parent / "emobox_published.csv"
"""UA, WA and macro-F1 in %, of the families that serjax reads; corpora are called as the folders of EmoBox's data."""
SOURCE = (
    "table 4 of Ma et al., EmoBox, Interspeech 2024 (arXiv 2406.07162), as docs/intra-corpus.jpg of "
    "github.com/emo-box/EmoBox shows it."
)
CHECKPOINTS: Mapping[str, str] = {
    "wav2vec2-base": "wav2vec2-base",
    "hubert-base-ls960": "hubert-base",
    "hubert-large-ll60k": "hubert-large",
    "wavlm-base": "wavlm-base",
    "wavlm-large": "wavlm-large",
}
"""Encoder of the table by the name of its checkpoint on the hub."""


def published(corpora: Iterable[tuple[str, str]], encoders: Iterable[tuple[str, str | None]]) -> dict[str, Any]:
    """Return the source, and scores in % by corpus and encoder, as far as there are any.

    Args:
        corpora: of each its name in the study and that of its folder in EmoBox's data.
        encoders: of each its name in the study and its checkpoint, a hub id or directory.
    """
    with FILE.open(newline="", encoding="utf-8") as file:
        rows = {(row["corpus"], row["encoder"]): row for row in csv.DictReader(file)}
    known = [(name, CHECKPOINTS.get(PurePosixPath(checkpoint or "").name)) for name, checkpoint in encoders]
    found: dict[str, Any] = {}
    for corpus, folder in corpora:
        own = {
            name: {metric: float(row[metric]) for metric in METRICS}
            for name, encoder in known
            if encoder is not None and (row := rows.get((folder, encoder))) is not None
        }
        if own:
            found[corpus] = own
    return {"source": SOURCE, "scores": found}
