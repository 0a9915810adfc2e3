import jax
import pytest

from serjax.runtime.errors import UserError
from serjax.runtime.memory import memory_errors


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GB"),
        jax.errors.JaxRuntimeError("INTERNAL: Out of memory allocating 9 bytes."),
    ],
)
def test_a_device_out_of_memory_is_a_sentence(error):
    with (
        pytest.raises(UserError, match="there is not enough memory for 600 s of sound; give shorter clips"),
        memory_errors("600 s of sound", "give shorter clips"),
    ):
        raise error


def test_other_errors_pass():
    with pytest.raises(jax.errors.JaxRuntimeError), memory_errors("sound", "try again"):
        raise jax.errors.JaxRuntimeError("INVALID_ARGUMENT: shapes")
