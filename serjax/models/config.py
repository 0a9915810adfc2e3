"""Settings of all families of models, told apart by `family`."""

from typing import Annotated

import pydantic

from serjax.models.fusion.config import Fusion
from serjax.models.spectrogram import Functionals, Spectrogram
from serjax.models.speech import Speech
from serjax.models.video import Video

ModelConfig = Annotated[Speech | Spectrogram | Functionals | Video | Fusion, pydantic.Field(discriminator="family")]
"""A speech encoder, a network on spectrograms, on hand-made features or on video, or a fusion of sound and video."""
