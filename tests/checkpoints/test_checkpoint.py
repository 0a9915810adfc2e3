"""Contents of a checkpoint."""

from releases import WAV2VEC2

from serjax.checkpoints.checkpoint import Checkpoint
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.checkpoints.releases.table import RELEASES


def test_the_encoders_keys_begin_as_in_transformers_or_as_in_the_release():
    checkpoint = Checkpoint("here", {}, WAV2VEC2, Preprocessor(), {}, ())
    assert checkpoint.prefix == "wav2vec2."
    assert checkpoint._replace(release=RELEASES[0]).prefix == "ssl_model."
