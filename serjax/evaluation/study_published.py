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
    """Return the source, and scores in % by corpus: of the study's encoders, and of the table's others.

    Args:
        corpora: of each its name in the study and that of its folder in EmoBox's data.
        encoders: of each its name in the study and its checkpoint, a hub id or directory.
    """
    with FILE.open(newline="", encoding="utf-8") as file:
        rows = {(row["corpus"], row["encoder"]): row for row in csv.DictReader(file)}
    known = [(name, CHECKPOINTS.get(PurePosixPath(checkpoint or "").name)) for name, checkpoint in encoders]
    found: dict[str, dict[str, Any]] = {"scores": {}, "others": {}}
    for corpus, folder in corpora:
        table = {
            encoder: {metric: float(row[metric]) for metric in METRICS}
            for (name, encoder), row in rows.items()
            if name == folder
        }
        if table:
            own = {name: encoder for name, encoder in known if encoder is not None and encoder in table}
            found["scores"][corpus] = {name: table[encoder] for name, encoder in own.items()}
            others = [encoder for encoder in table if encoder not in own.values()]
            found["others"][corpus] = {encoder: table[encoder] for encoder in others}
    return {"source": SOURCE, **found}
