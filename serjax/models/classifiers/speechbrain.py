"""SpeechBrain's emotion recognition: an encoder whose output is normalised, the mean of its frames, a Linear."""

from dataclasses import dataclass

from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import EncoderConfig
from serjax.models.inputs import Inputs
from serjax.models.layers.pooling import masked_mean
from serjax.models.layers.standardize import clip_norm, unit_variance


@dataclass(frozen=True)
class SpeechBrainLayout:
    """Layout of the head.

    Attributes:
        classes: how many outputs.
        bias: True where the Linear has one.
        normalize: bring each clip to zero mean and unit variance first.
        output_norm: bring all features of a clip's frames to zero mean and unit variance together.
    """

    classes: int
    bias: bool
    normalize: bool
    output_norm: bool


class SpeechBrainClassifier(nnx.Module):
    """An encoder and its head, for evaluation; a clip's answer is that of the original for the clip alone."""

    def __init__(self, config: EncoderConfig, layout: SpeechBrainLayout, *, rngs: nnx.Rngs):
        self.layout = layout
        self.speech_encoder = build_encoder(config, rngs=rngs)
        linear = nnx.Linear(config.hidden_size, layout.classes, use_bias=layout.bias, rngs=rngs)
        self.output_mlp = nnx.Dict({"w": linear})

    def pooled(self, inputs: Inputs) -> Float[Array, "b d"]:
        """Return the mean of the frames of waves at 16 kHz."""
        wave, lengths = inputs.sound
        # torch's layer_norm, whose epsilon is not the feature extractor's.
        wave = unit_variance(wave, lengths, 1e-5) if self.layout.normalize else wave
        output = self.speech_encoder(wave, lengths)
        x = output.hidden_states[-1]
        if self.layout.output_norm:
            x = clip_norm(x[:, None], output.lengths)[:, 0]
        return masked_mean(x, output.lengths)

    def __call__(
        self, inputs: Inputs, key: PRNGKeyArray | None = None, weight: Float[Array, "b"] | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits. There is no dropout, and no row depends on another."""
        logits: Float[Array, "b c"] = self.output_mlp["w"](self.pooled(inputs))
        return logits
