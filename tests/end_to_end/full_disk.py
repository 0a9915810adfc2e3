"""Run by test_full_disk.py: writes each kind of stored array where there is too little room, and then where there is.

Usage: python full_disk.py limit|tmpfs FOLDER. `limit` makes room scarce by the process's limit of file sizes, `tmpfs`
by a file that fills the disk of FOLDER. Prints a JSON object of what happened, by use.
"""

import contextlib
import json
import resource
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import soundfile

from serjax.audio.spectrogram import RAVDESS_AUDIO
from serjax.data.store import clips as clips_module
from serjax.data.store import video as video_module
from serjax.data.store.clips import open_store
from serjax.data.store.frame_labels import FrameGrid, write_labels
from serjax.data.store.video import open_drawn
from serjax.data.utterance import Utterance
from serjax.features.encoder_layers import frame_features
from serjax.features.frozen import encode_clips
from serjax.features.statistics import standardization
from serjax.models.base import Standardized
from serjax.models.front_end import FrontEnd
from serjax.runtime.errors import UserError

COUNT = 24
CALLS = []
"""A clip each for what was computed."""


class Store:
    """The clips, whose reads are counted."""

    def __init__(self, store):
        self.store = store
        self.lengths, self.hashes, self.utterances = store.lengths, store.hashes, store.utterances

    def __len__(self):
        return len(self.store)

    def clip(self, i):
        CALLS.append(i)
        return self.store.clip(i)


def states(weights, wave, length):
    frames = wave[:, : wave.shape[1] // 400 * 400].reshape(len(wave), -1, 400)[:, :, :64]
    return jnp.stack([frames, -frames], 1), length // 400


def squares(weights, wave, length):
    starts = 320 * jnp.arange((wave.shape[1] - 400) // 320 + 1)
    return wave[:, starts[:, None] + jnp.arange(64)] ** 2, (length - 400) // 320 + 1


def counted(function):
    def call(*args, **kwargs):
        CALLS.append(args)
        return function(*args, **kwargs)

    return call


def uses(utterances, store):
    """Return by name a function that writes into a folder and returns what can be read there."""
    names = [clip.id for clip in utterances]

    def clips(folder):
        found = open_store(utterances, folder, skip_bad=False)
        return np.concatenate([found.clip(i) for i in range(COUNT)])

    def video(folder):
        return open_drawn(utterances, folder, seed=0, count=4, size=32).frames

    def frozen(folder):
        settings = {"samples": 48_000, "crop": "head", "pooled": False, "batch_size": 2}
        return encode_clips(states, {}, store, names, folder / "k", **settings)[0]

    def statistics(folder):
        moments, train = Standardized(("standardize",), FrontEnd(RAVDESS_AUDIO, 3.0)), [range(COUNT)]
        found = standardization(moments, store, train, crop="head", folder=folder)
        return np.asarray(found["standardize"]["mean"][...])

    def frames(folder):
        settings = {"grid": FrameGrid(), "seconds": 4}
        return frame_features(squares, {}, store, names, folder / "k", **settings).rows

    def labels(folder):
        values = {name: np.arange(2000) % 50 for name in names}
        written = write_labels(folder / "labels", values, 50, FrameGrid())
        return np.concatenate([written.of(name) for name in names])

    return {
        "clips": clips,
        "video": video,
        "frozen": frozen,
        "statistics": statistics,
        "frames": frames,
        "labels": labels,
    }


@contextlib.contextmanager
def limit(folder, size):
    """Let no file grow beyond a part of the size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(0.6 * size), hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def tmpfs(folder, size):
    """Leave a part of the size on the folder's disk."""
    filler = folder / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(folder).free - int(0.6 * size) // 4096 * 4096))
    yield
    filler.unlink()


def main(scarce, folder):
    sounds = folder / "sounds" if scarce is limit else Path(sys.argv[3])
    sounds.mkdir()
    utterances = []
    for i in range(COUNT):
        wave = np.random.default_rng(i).uniform(-0.5, 0.5, 8000 + 400 * i)
        soundfile.write(sounds / f"{i}.wav", wave, 16_000)
        utterances.append(Utterance(f"clip{i}", sounds / f"{i}.wav", "sad", f"speaker{i % 4}"))
    store = Store(open_store(utterances, sounds / "store", skip_bad=False))
    clips_module.decode = counted(clips_module.decode)
    video_module.synthetic.synthetic_frames = counted(video_module.synthetic.synthetic_frames)
    told = {}
    for name, make in uses(utterances, store).items():
        expected, ours = make(sounds / f"{name} alone"), folder / name
        ours.mkdir()
        sizes = [path.stat().st_size for path in (sounds / f"{name} alone").rglob("*.npy")]
        told[name] = about = SimpleNamespace(size=max(sizes), message=None)
        with scarce(folder, about.size):
            try:
                make(ours)
            except UserError as error:
                about.message = str(error)
        CALLS.clear()
        np.testing.assert_array_equal(make(ours), expected)
        about.computed = len(CALLS)
        about.left = sorted(path.name for path in ours.rglob("*") if not path.name.endswith(".lock"))
        shutil.rmtree(ours)
    print(json.dumps({name: vars(about) for name, about in told.items()}))


if __name__ == "__main__":
    main({"limit": limit, "tmpfs": tmpfs}[sys.argv[1]], Path(sys.argv[2]))
