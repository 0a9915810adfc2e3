"""Reports of studies from made-up answers."""

import numpy as np

from serjax.evaluation.out_of_fold import OutOfFold
from serjax.evaluation.study_report import Answered, study_report

LABELS = ("angry", "happy", "sad")


def answers(share, *, seed=0, clips=60, named=True):
    """Answers of which about such a share is right."""
    rng = np.random.default_rng(seed)
    label = np.arange(clips) % len(LABELS)
    right = rng.random(clips) < share
    told = np.where(right, label, (label + 1) % len(LABELS))
    probability = np.full((clips, len(LABELS)), 0.1, np.float32)
    probability[np.arange(clips), told] = 0.8
    speakers = tuple(f"speaker {clip % 12}" if named else None for clip in range(clips))
    return OutOfFold(tuple(map(str, range(clips))), clip_folds(clips), label, probability, speakers, LABELS)


def clip_folds(clips):
    return np.arange(clips) % 3 + 1


def make_report(protocol="speaker", encoders=("a", "b", "c"), corpora=("x", "y"), failed=(), published=None, **changes):
    """A report in which encoder a is the best; pairs of encoder and corpus in `failed` have a sentence."""
    settings = {
        "name": "made_up",
        "protocol": protocol,
        "encoders": [{"name": name} for name in encoders],
        "corpora": [{"name": name} for name in corpora],
        "metric": "ua",
        "seeds": 2,
        "seed": 0,
        "max_clips": None,
        "learning_rates": [1e-3, 1e-2],
        "epochs": 20,
        "batch_size": 32,
    }
    cells = []
    for place, encoder in enumerate(encoders):
        for train in corpora:
            for test in corpora if protocol == "cross" else (train,):
                share = 0.9 - 0.15 * place - (0.2 if train != test else 0)
                found = [answers(share, seed=place + 10 * seed, named=test != "unnamed") for seed in range(2)]
                if train != test:
                    found = found[:1]
                cells.append(
                    Answered(encoder, train, test, "It | failed & fell." if (encoder, train) in failed else found)
                )
    return study_report(settings | changes, cells, command="python -m serjax.study ...", published=published)
