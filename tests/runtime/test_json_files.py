"""JSON of others: limits on size, depth and numbers, keys that stand twice, and files that are none."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.runtime.errors import UserError
from serjax.runtime.json_files import contents_of, parse_json, read_bytes, read_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30)
@given(value=VALUES, encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_json_of_any_encoding_comes_back(value, encoding):
    text = json.dumps(value, ensure_ascii=True).encode(encoding)
    assert parse_json(text, "x.json") == value


@settings(max_examples=60)
@given(text=st.binary(max_size=60) | st.text(max_size=60))
def test_any_bytes_are_parsed_or_refused_in_a_sentence(text):
    told = "x.json: "
    try:
        parse_json(text, "x.json")
    except UserError as error:
        told = str(error)
    assert told.startswith("x.json: ")
    assert "\n" not in told


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 100_000, "nested more than 64 levels deep"),
        ("[" * 100 + "]" * 100, "nested more than 64 levels deep"),
        ('{"a": {"b": 9223372036854775808}}', "a.b is an integer of more than 64 bits"),
        ('{"a": [1, NaN]}', "a.1 is nan, which is no number of JSON"),
        ('{"a": -1e999}', "a is -inf, which is no number of JSON"),
        ('{"a": "\\ud800"}', "a holds half a character"),
        ('{"a": 1, "a": 2}', "the key a is there twice"),
        ("1" * 5000, "cannot be read as JSON"),
    ],
)
def test_what_is_beyond_the_limits_is_refused(text, sentence):
    with pytest.raises(UserError, match=sentence):
        parse_json(text, "x.json")


def test_a_file_is_an_object_of_a_regular_file_within_its_size(tmp_path):
    path = tmp_path / "x.json"
    with pytest.raises(UserError, match="there is no such file"):
        read_json(path)
    path.write_text("[1]")
    with pytest.raises(UserError, match=r"it holds an array, not a JSON object; fetch it again\."):
        read_json(path)
    with pytest.raises(UserError, match="it has 3 bytes, more than the 2 that such a file may have"):
        read_bytes(path, largest=2)
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UserError, match="it is no regular file"):
        read_json(tmp_path / "pipe.json")


def test_a_file_answers_for_what_its_contents_cause():
    sentence = r"^x\.json: it does not hold what it should \(.*'a'.*\); train again\.$"
    with pytest.raises(UserError, match=sentence), contents_of("x.json", "train again"):
        raise KeyError("a")
