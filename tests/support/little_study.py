"""Little corpora of tones, and a study on two of them."""

import json

import numpy as np
import soundfile

from serjax.runs.study.settings import Study, StudyCorpus, parse_encoder

SPEAKER = r"(?P<speaker>spk\d)"


def write_corpus(root, labels, speakers=4, clips=2, seed=0):
    rng = np.random.default_rng(seed)
    for place, label in enumerate(labels):
        (root / label).mkdir(parents=True)
        for speaker in range(speakers):
            for number in range(clips):
                tone = np.sin(2 * np.pi * (200 + 500 * place + 10 * speaker) * np.arange(4000) / 16000)
                wave = 0.3 * tone + rng.normal(0, 0.05, 4000)
                soundfile.write(root / label / f"spk{speaker}_{number}.wav", wave, 16000)
    return root


def make_study(tones, out, **changes):
    corpora = (
        StudyCorpus("one", str(tones / "one"), speaker_pattern=SPEAKER),
        StudyCorpus("two", str(tones / "two"), speaker_pattern=SPEAKER, label_map=str(tones / "map.json")),
    )
    settings = {
        "encoders": (parse_encoder("tiny=random:hubert:tiny"),),
        "corpora": corpora,
        "protocol": "cross",
        "out": str(out),
        "folds": 2,
        "seeds": 2,
        "learning_rates": (1e-3, 1e-2),
        "epochs": 2,
        "batch_size": 4,
        "max_seconds": 0.3,
    }
    return Study(**(settings | changes))


def write_emobox(root, recordings):
    """Write a corpus as EmoBox publishes it, on recordings of `write_corpus`; return its folder."""
    folder = root / "data" / "emodb"
    folder.mkdir(parents=True)
    rows = []
    for path in sorted(recordings.rglob("*.wav")):
        label = path.parent.name
        if label == "odd":
            continue
        place = root / "downloads" / label / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path)
        row = {"key": f"emodb-{label}-{path.stem}", "wav": str(place.relative_to(root)), "emo": label}
        rows.append(row | {"dataset": "emodb", "type": "raw", "sample_rate": 16000, "channel": 1})
    write_lines(folder / "emodb.jsonl", rows)
    (folder / "label_map.json").write_text(json.dumps({"low": "Low", "high": "High"}))
    for fold in (1, 2):
        tested = [row for row in rows if ("spk0" in row["key"] or "spk1" in row["key"]) == (fold == 1)]
        (folder / f"fold_{fold}").mkdir()
        write_lines(folder / f"fold_{fold}" / f"emodb_test_fold_{fold}.jsonl", tested)
        others = [row for row in rows if row not in tested]
        write_lines(folder / f"fold_{fold}" / f"emodb_train_fold_{fold}.jsonl", others)
    return folder


def write_lines(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
