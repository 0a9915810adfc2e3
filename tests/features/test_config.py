"""Settings of k-means: defaults are those of HuBERT's recipe."""

import inspect

import pytest
from sklearn.cluster import MiniBatchKMeans

from serjax.features.config import ClusterConfig
from serjax.runtime.constraints import validate
from serjax.runtime.errors import UserError


@pytest.mark.parametrize("entry", [{"clusters": 0}, {"clusters": 2**16 + 1}, {"patience": 0}, {"tolerance": -1.0}])
def test_values_out_of_bounds_are_refused(entry):
    ((name, _),) = entry.items()
    with pytest.raises(UserError, match=f"{name} is "):
        validate(ClusterConfig(**entry))


def test_settings_are_scikit_learns():
    """Each field is a parameter of MiniBatchKMeans."""
    named = {
        "clusters": "n_clusters",
        "batch_size": "batch_size",
        "passes": "max_iter",
        "starts": "n_init",
        "patience": "max_no_improvement",
        "tolerance": "tol",
        "reassign": "reassignment_ratio",
        "seed": "random_state",
    }
    assert set(named) == set(ClusterConfig.__dataclass_fields__)
    assert set(named.values()) <= set(inspect.signature(MiniBatchKMeans).parameters)
