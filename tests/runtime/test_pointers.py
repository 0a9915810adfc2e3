"""Pointers of Git LFS, told from files that only speak of them."""

import pytest

from serjax.runtime.errors import UserError
from serjax.runtime.pointers import refuse_pointer


def test_a_pointer_is_refused_and_nothing_else(tmp_path):
    path = tmp_path / "model.pt"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    with pytest.raises(UserError, match=r"model\.pt: it is a pointer of Git LFS, not the weights; .*`git lfs pull`\.$"):
        refuse_pointer(path, "the weights")
    for other in (b"", b"version", b"see version https://git-lfs.github.com/spec/v1"):
        path.write_bytes(other)
        refuse_pointer(path, "the weights")
