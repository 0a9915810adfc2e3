"""Settings of clustering."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from serjax.runtime.constraints import AtLeastOne, Count, NotNegative


@dataclass(frozen=True)
class ClusterConfig:
    """Settings of k-means; meanings are those of scikit-learn's MiniBatchKMeans."""

    clusters: Annotated[int, Ge(1), Le(2**16)] = 500
    """Number of centroids."""
    batch_size: AtLeastOne = 10_000
    """Frames a step."""
    passes: AtLeastOne = 100
    """At most so many times the number of frames is looked at."""
    starts: AtLeastOne = 20
    """k-means++ starts; the one that fits best goes on."""
    patience: AtLeastOne | None = 100
    """Stop after this many steps without a better running mean of the batches' inertia."""
    tolerance: NotNegative = 0.0
    """Stop where a step moves centroids by less than this share of the frames' variance, squared; 0: never."""
    reassign: NotNegative = 0.0
    """Clusters lighter than this share of the heaviest one start again at a random frame; 0: never."""
    seed: Count = 1337
    """Decides starts and batches."""
