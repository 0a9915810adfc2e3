import jax
import pytest


@pytest.fixture
def compile_quickly():
    """Nearly all time of small networks is XLA's, which many programs wait for; what they compute stays the same."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
