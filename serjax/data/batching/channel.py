"""Channels of training clips: codecs that they came through, and babble around them.

Both happen where batches are read, not on the device: codecs are FFmpeg's, so that each clip is encoded once and kept
in a store beside the clips, and babble is of the fold's own training clips, which a batch knows and a model does not.
What an epoch draws is drawn at once with its order and crops, from the same seed.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int, Int64

from serjax.audio.config import AugmentConfig
from serjax.data.batching.batches import Clips, read_clips


class Channel(NamedTuple):
    """Codecs and babble of training.

    Attributes:
        config: with what probability, and which babble.
        coded: the clips of the store through each codec of `config.codec`, as long as there.
    """

    config: AugmentConfig
    coded: tuple[Clips, ...] = ()

    def draw(self, rng: np.random.Generator, order: Int64[np.ndarray, "n"]) -> "Drawn":
        """Draw the channel of each place of an epoch.

        Args:
            rng: of the epoch.
            order: clip at each place. Babble is of these clips alone, so that a fold's is of its training clips.
        """
        config, count = self.config, len(order)
        store = np.zeros(count, np.int64)
        if self.coded:
            chosen = rng.integers(1, len(self.coded) + 1, count)
            store = np.where(rng.random(count) < config.codec_p, chosen, 0)
        low, most = config.babble_voices
        voices = np.zeros((count, most), np.int64)
        spoken = np.zeros(count, np.int64)
        start, snr = np.zeros(voices.shape), np.zeros(count)
        own = np.unique(order)
        if config.babble_p and len(own) > 1:
            talking = rng.random(count) < config.babble_p
            spoken = np.where(talking, rng.integers(low, most + 1, count), 0)
            # Another clip than the row's own: so many places after it.
            further = rng.integers(1, len(own), voices.shape)
            voices = own[(np.searchsorted(own, order)[:, None] + further) % len(own)]
            start, snr = rng.random(voices.shape), rng.uniform(*config.babble_snr, count)
        return Drawn(self.coded, store, voices, spoken, start, snr)


class Drawn(NamedTuple):
    """Channels of the places of an epoch.

    Attributes:
        coded: stores of the codecs.
        store: 0 where a clip comes as it is, else the number of its codec, from 1.
        voices: clips whose voices are around.
        spoken: how many of them are heard; 0 where there is no babble.
        start: share of each voice's clip after which it begins.
        snr: of the clip to all voices, in dB.
    """

    coded: Sequence[Clips]
    store: Int64[np.ndarray, "n"]
    voices: Int64[np.ndarray, "n v"]
    spoken: Int64[np.ndarray, "n"]
    start: Float64[np.ndarray, "n v"]
    snr: Float64[np.ndarray, "n"]

    def rows(
        self,
        clips: Clips,
        chosen: Int64[np.ndarray, "b"],
        starts: Int[np.ndarray, "b"],
        places: Int64[np.ndarray, "b"],
        samples: int,
    ) -> Iterator[Float32[np.ndarray, "_"]]:
        """Yield the rows of a batch, at most `samples` long.

        The voices around a clip came through its codec, as one microphone hears them all.

        Args:
            clips: the store.
            chosen: clip of each row.
            starts: sample of its clip at which each row begins.
            places: of the rows in the epoch.
            samples: longest row.
        """
        stores = (clips, *self.coded)
        heard = [
            (int(self.store[place]), [int(clip), *self.voices[place, : self.spoken[place]].tolist()])
            for clip, place in zip(chosen, places, strict=True)
        ]
        found: dict[tuple[int, int], np.ndarray] = {}
        for number in sorted({number for number, _ in heard}):
            wanted = sorted({clip for other, several in heard if other == number for clip in several})
            found |= {(number, c): wave for c, wave in zip(wanted, read_clips(stores[number], wanted), strict=True)}
        for (number, (clip, *voices)), begin, place in zip(heard, starts.tolist(), places.tolist(), strict=True):
            row = found[number, clip][begin : begin + samples]
            around = [found[number, voice] for voice in voices]
            yield amid(row, around, self.start[place, : len(around)], float(self.snr[place])) if around else row


def amid(
    row: Float32[np.ndarray, "s"],
    voices: Sequence[Float32[np.ndarray, "_"]],
    start: Float64[np.ndarray, "v"],
    snr: float,
) -> Float32[np.ndarray, "s"]:
    """Return a row with voices around it.

    Each voice begins somewhere in its clip, starts over at its end, and is brought to the power of the others; silent
    ones are left out. Nothing is added to silence.

    Args:
        row: samples.
        voices: clips of them.
        start: share of each voice's clip after which it begins, 0 to 1.
        snr: energy of the row over that of all voices, in dB.
    """
    babble = np.zeros(len(row))
    for voice, share in zip(voices, start, strict=True):
        first = int(share * len(voice))
        stretch = voice.take(np.arange(first, first + len(row)), mode="wrap").astype(np.float64)
        power = np.mean(np.square(stretch)) if len(stretch) else 0.0
        babble += stretch / np.sqrt(power) if power else 0.0
    energy, around = np.sum(np.square(row, dtype=np.float64)), np.sum(np.square(babble))
    if not energy or not around:
        return row
    return (row + babble * np.sqrt(energy / around) * 10 ** (-snr / 20)).astype(np.float32)
