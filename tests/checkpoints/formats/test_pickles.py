"""Pickles are read as plain data, and none keeps the reader busy or fills the memory."""

import io
import pickle
from collections import OrderedDict

import pytest

from serjax.checkpoints.formats.pickles import Unpickler


def load(data, tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(data)
    return Unpickler(io.BytesIO(data), path).load()


@pytest.mark.parametrize("protocol", range(5))
def test_plain_data_comes_back(tmp_path, protocol):
    value = {"a": [1, 2.5, None, True], "b": ("x", {"c": b"bytes" if protocol > 2 else "text"})}
    assert load(pickle.dumps(value, protocol), tmp_path) == value


def nested(levels):
    """A tuple of two, of two, and so on, as a key: hashing it takes 2 to that power."""
    value = ()
    for _ in range(levels):
        value = (value, value)
    return value


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8e" + (2**60).to_bytes(8, "little") + b"x.",  # bytes of 2^60
        b"\x80\x02}" + pickle.dumps(nested(40), 2)[2:-1] + b"K\x01s.",  # a key that takes for ever to hash
        pickle.dumps({1, 2}, 4),
        b"\x80\x02\x82\x01.",
        b"",
    ],
)
def test_a_hostile_pickle_is_refused_at_once(tmp_path, data):
    with pytest.raises((ValueError, EOFError, TypeError, pickle.UnpicklingError)):
        load(data, tmp_path)


def test_names_are_for_those_that_derive_to_decide(tmp_path):
    class Ordered(Unpickler):
        def find_class(self, module, name):
            assert (module, name) == ("collections", "OrderedDict")
            return OrderedDict

    data = pickle.dumps(OrderedDict(a=1), 2)
    (tmp_path / "x.pkl").write_bytes(data)
    assert Ordered(io.BytesIO(data), tmp_path / "x.pkl").load() == {"a": 1}
