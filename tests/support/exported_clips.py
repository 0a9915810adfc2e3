"""Clips for exported programs, and what an ensemble says of them."""

import numpy as np


def clips(made, ensemble, seed, *lengths):
    """Return waves padded to the longest, or the window, their lengths, and the ensemble's logits of each."""
    rng = np.random.default_rng(seed)
    wave = np.zeros((len(lengths), max(lengths) if made.dynamic else made.window), np.float32)
    for row, length in zip(wave, lengths, strict=True):
        row[:length] = rng.normal(0, 0.1, length)
    logits = ensemble.logits([row[:length] for row, length in zip(wave, lengths, strict=True)])
    return wave, np.array(lengths, np.int32), logits
