"""An encoder that computes nothing: it keeps the waves that it is given, and returns states that were drawn before."""

import numpy as np

from serjax.models.encoders.stack import EncoderOutput


class StillEncoder:
    """Stands for the encoder of a classifier, whose head is tested.

    Args:
        config: layout of the encoder it stands for.
        frames: true frames of each clip; behind them stands what must not be heard.
    """

    def __init__(self, config, frames=(9, 4)):
        rng, self.config, self.lengths = np.random.default_rng(0), config, np.array(frames, np.int32)
        shape = (config.num_hidden_layers + 1, len(frames), max(frames) + 2, config.hidden_size)
        self.states = rng.normal(0.3, 1, shape).astype(np.float32)
        self.states[:, 1, frames[1] :] = 1e6

    def __call__(self, wave, lengths, key=None, **options):
        self.wave, self.options = np.asarray(wave), options
        return EncoderOutput(tuple(self.states), self.lengths)

    def true(self, row):
        """Return the states of a clip's own frames: [layers + 1, frames, features]."""
        return self.states[:, row, : self.lengths[row]].astype(np.float64)
