"""The encoder that comes with serjax, `serjax-tiny`: a tiny HuBERT pretrained on rendered speech alone.

Command: python -m serjax.pretrain --exp serjax_tiny
    Then: cp checkpoints/serjax_tiny/encoder/* serjax/checkpoints/bundled/serjax-tiny/
Needs: nothing; the corpus is rendered (40 speakers, 4000 clips, 25 texts). None of its voices, texts or clips is one
    of `quickstart`'s.
Takes: about 20 minutes of processor time on the slower of two kinds of machine, rendering and compilation included.
Expect: 34 % of the labels of masked frames predicted, of 200; docs/quickstart.md has what follows from it.
"""

from dataclasses import replace

from serjax.config.pretraining import LabelsConfig, PretrainExperiment, StartConfig, TaptConfig
from serjax.data.config import DataConfig, SyntheticConfig
from serjax.features.config import ClusterConfig
from serjax.training.config import MaskedConfig


def experiment() -> PretrainExperiment:
    """Return the experiment: 200 clusters of MFCC, and 5000 updates of 20 s."""
    masked = MaskedConfig()
    return PretrainExperiment(
        name="serjax_tiny",
        data=DataConfig(corpus="synthetic", synthetic=SyntheticConfig(speakers=40, clips_per_class=1000, texts=25)),
        # How loud a clip is tells something of its emotion, and MFCC have it too.
        model=StartConfig(size="tiny", normalize=False),
        # The labels of emotions are not used; one encoder hears all clips.
        tapt=TaptConfig(corpus="all"),
        labels=LabelsConfig(of="mfcc", cluster=ClusterConfig(clusters=200, starts=3)),
        masked=replace(
            masked,
            # Frames that are not masked teach a small network the more.
            unmasked_weight=1.0,
            feature_grad_mult=1.0,
            seconds=20.0,
            shortest=0.5,
            longest=2.0,
            updates=5_000,
            optimizer=replace(masked.optimizer, max_lr=2e-3, warmup=0.1),
        ),
        save_as="float16",
        # Of the rendered corpus, too: `quickstart` has another.
        seed=2021,
    )
