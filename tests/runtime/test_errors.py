"""Lists of names in messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.runtime.errors import one_of, readable, reason

names = st.lists(st.text("abc", min_size=1, max_size=3), max_size=20)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, ""), (1, "0"), (8, "0, 1, 2, 3, 4, 5, 6, 7"), (9, "0, 1, 2, 3, 4, 5, 6, 7 and 1 more")],
)
def test_one_of_names_eight_at_most(count, expected):
    assert one_of([str(number) for number in range(count)]) == expected


@given(names, st.integers(1, 12))
def test_one_of_accounts_for_every_name(names, limit):
    text = one_of(names, limit)
    shown, more, rest = text.partition(" and ")
    assert shown.split(", ") == (names[:limit] or [""])
    assert bool(more) == (len(names) > limit)
    if more:
        assert rest == f"{len(names) - limit} more"


def test_names_of_files_are_their_utf_8_in_any_locale():
    assert readable("ä.wav") == readable("\udcc3\udca4.wav") == "ä.wav"
    assert readable("\udcff\udcc3.wav") == "\\xff\\xc3.wav"


def test_reasons_of_the_system_have_no_number_and_no_path(tmp_path):
    with pytest.raises(OSError, match="Errno") as caught:
        (tmp_path / "nothing").open()
    assert reason(caught.value) == "No such file or directory"
    assert reason(ValueError("line 3")) == "line 3"
