"""The names that serjax gives are all there, and none of them makes an import wait."""

import subprocess
import sys

import pytest

import serjax


def test_every_public_name_is_there():
    assert dir(serjax) == sorted(serjax.__all__)  # and nothing else, such as modules that it imports
    for name in serjax.__all__:
        assert getattr(serjax, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        serjax.trian  # noqa: B018


def test_an_import_waits_for_no_large_package():
    code = "import sys, serjax; print(sorted({'jax', 'numpy', 'flax', 'rich', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
