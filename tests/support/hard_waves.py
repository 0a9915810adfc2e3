"""Waves that are mostly hum, rumble or DC, and kernels that leave these out, as those of trained encoders do."""

import numpy as np


def band_pass(taps: int, outputs: int, seed: int = 0) -> np.ndarray:
    """Return Gabor filters [k o] of all bands, two thirds of which let no DC through, of levels that differ."""
    rng = np.random.default_rng(seed)
    time = np.arange(taps)[:, None] - (taps - 1) / 2
    width = taps * rng.uniform(0.15, 0.35, outputs)
    turn = rng.uniform(0, 2 * np.pi, outputs)
    kernel = np.exp(-(time**2) / (2 * width**2)) * np.cos(2 * np.pi * rng.uniform(0.03, 0.48, outputs) * time + turn)
    kernel -= kernel.mean(0) * (rng.random(outputs) < 0.7)
    return (kernel / np.linalg.norm(kernel, axis=0) * rng.uniform(0.3, 2, outputs)).astype(np.float32)


def hard_waves(samples: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return waves [t] at 16 kHz by what they are mostly made of; a little noise is in all but silence."""
    rng, time = np.random.default_rng(seed), np.arange(samples) / 16_000
    noise, end = rng.normal(size=samples), samples / 16_000
    found = {
        "hum": 0.3 * np.sin(2 * np.pi * 50 * time) + 0.001 * noise,
        "rumble": 0.5 * np.sin(2 * np.pi * 8 * time + 1) + 0.2 * np.sin(2 * np.pi * 17 * time) + 0.001 * noise,
        "DC": 0.9 + 0.001 * noise,
        "steps of DC": np.where(np.abs(time - end / 2) < end / 4, 0.6, -0.3) + 0.001 * noise,
        "clicks": 0.001 * noise + 0.9 * (rng.random(samples) < 2e-4),
        "silence behind sound": np.where(time < end / 3, 0.1 * noise, 0),
        "silence": np.zeros(samples),
        "noise": 0.1 * noise,
    }
    return {name: wave.astype(np.float32) for name, wave in found.items()}
