"""The 312 functionals: serjax's batches under jit, and mser's loop of librosa calls.

    python benchmarks/functionals.py [--data.root DIR --seconds 3 --batch 32 --rounds 7]

Both sides see the same decoded clips. librosa works on one thread, as mser's loop does; serjax on all that XLA takes.
Without --data.root, clips are noise. Needs librosa.
"""

import harness
import jax
import numpy as np

from serjax.audio import SAMPLE_RATE
from serjax.audio.decode import decode
from serjax.audio.functionals import functionals
from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus
from serjax.runtime.allocator import keep_memory


def mser(wave: np.ndarray) -> np.ndarray:
    """Return the values of one clip as mser computes them, each call of librosa as often as there."""
    import librosa

    magnitude = np.abs(librosa.stft(wave))
    pitches, strengths = librosa.piptrack(S=magnitude, sr=SAMPLE_RATE, fmin=70, fmax=400)
    pitch = [pitches[strengths[:, 1].argmax(), i] for i in range(strengths.shape[1])]
    centroid = librosa.feature.spectral_centroid(y=wave, sr=SAMPLE_RATE)
    centroid = centroid / np.sum(centroid)
    rms = librosa.feature.rms(S=magnitude)
    scalars = [
        np.mean(librosa.feature.spectral_flatness(y=wave)),
        np.mean(librosa.feature.zero_crossing_rate(wave)),
        *(np.mean(magnitude), np.max(magnitude), np.mean(centroid), np.std(centroid), np.max(centroid)),
        *(np.std(magnitude), np.mean(pitch), np.max(pitch), np.std(pitch), librosa.pitch_tuning(pitches)),
        *(np.mean(rms), np.max(rms), np.std(rms)),
    ]
    rows = [
        *(over(librosa.feature.mfcc(y=wave, sr=SAMPLE_RATE, n_mfcc=50), axis=1) for over in (np.mean, np.std, np.max)),
        librosa.feature.chroma_stft(S=magnitude, sr=SAMPLE_RATE).mean(1),
        librosa.feature.melspectrogram(y=wave, sr=SAMPLE_RATE).mean(1),
        librosa.feature.spectral_contrast(S=magnitude, sr=SAMPLE_RATE).mean(1),
    ]
    return np.concatenate([scalars, *rows])


def load(root: str | None, clips: int, samples: int) -> np.ndarray:
    """Return [b t]; clips that are shorter begin again."""
    if root is None:
        return np.random.default_rng(0).normal(0, 0.1, (clips, samples)).astype(np.float32)
    utterances = read_corpus(DataConfig(root=root)).utterances
    chosen = [utterances[i * len(utterances) // clips] for i in range(clips)]
    return np.stack([np.resize(decode(clip.path), samples) for clip in chosen])


def main() -> None:
    """Measure and publish."""
    parser = harness.parser(__doc__, rounds=7, turn=0)
    parser.add_argument("--data.root", dest="root", help="folder or list of recordings; by default clips are noise")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a clip")
    parser.add_argument("--batch", type=int, default=32, help="clips a batch")
    options = parser.parse_args()
    keep_memory()

    waves = load(options.root, options.batch, round(options.seconds * SAMPLE_RATE))
    names, told = harness.installed({"serjax": [], "serjax, clip by clip": [], "librosa, in a loop": ["librosa"]})
    calls = {
        "serjax": lambda: jax.block_until_ready(functionals(waves, pitch="original")),
        "serjax, clip by clip": lambda: [jax.block_until_ready(functionals(w[None], pitch="original")) for w in waves],
        "librosa, in a loop": lambda: [mser(wave) for wave in waves],
    }
    case = f"{len(waves)} clips of {options.seconds:g} s"
    turns = {name: lambda name=name: harness.clock(calls[name], options.turn) for name in names}
    values = harness.in_turns({case: turns}, options.rounds)
    harness.publish([harness.comparison(values), *told], options, ["librosa"])


if __name__ == "__main__":
    main()
