import pytest
from encoder_laws import check_finite, check_folds, check_padding

LENGTHS = [600, 311, 50, 0]


def test_padding_changes_nothing(data2vec_config):
    check_padding(data2vec_config, LENGTHS)


def test_gradients_are_finite(data2vec_config):
    check_finite(data2vec_config, LENGTHS)


@pytest.mark.slow
def test_folds_in_one_vmap_equal_a_loop(data2vec_config):
    check_folds(data2vec_config, LENGTHS)
