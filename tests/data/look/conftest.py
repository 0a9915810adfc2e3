"""A small corpus on the disk."""

import numpy as np
import pytest
import soundfile


@pytest.fixture(scope="session")
def noise():
    """A function that writes noise of some seconds at 16 kHz, the same for the same seed."""

    def write(path, seed=0, seconds=0.6, rate=16000, scale=0.1):
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = np.random.default_rng(seed).standard_normal(round(seconds * rate)) * scale
        soundfile.write(path, wave, rate)
        return path

    return write


@pytest.fixture(scope="session")
def small(tmp_path_factory, noise):
    """A folder a class, in which two speakers have two clips each."""
    root = tmp_path_factory.mktemp("small")
    names = [(label, who, n) for label in ("calm", "sad") for who in ("ann", "bob") for n in (1, 2)]
    for seed, (label, who, n) in enumerate(names):
        noise(root / label / f"{who}{n}.wav", seed)
    return root
