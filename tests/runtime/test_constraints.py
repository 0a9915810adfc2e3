"""Constraints on settings: bounds of values, checks between fields, sentences, and JSON."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import hypothesis
import pydantic
import pytest
from annotated_types import Ge, Le
from hypothesis import given
from hypothesis import strategies as st

from serjax.runtime.constraints import (
    AtLeastOne,
    Count,
    Decibels,
    Finite,
    NotNegative,
    Positive,
    Rate,
    Seed,
    Share,
    from_json,
    to_json,
    validate,
)
from serjax.runtime.errors import UserError


@dataclass(frozen=True)
class Inner:
    kind: Literal["inner"] = "inner"
    share: Share = 0.5
    pairs: tuple[tuple[str, Positive], ...] = ()
    low: Finite = 0.0
    high: Finite = 1.0

    def check(self) -> None:
        if self.low > self.high:
            raise UserError("inner.low is above inner.high.")


@dataclass(frozen=True)
class Other:
    kind: Literal["other"] = "other"
    count: AtLeastOne = 1


@dataclass(frozen=True)
class Outer:
    seed: Seed = 0
    inner: Annotated[Inner | Other, pydantic.Field(discriminator="kind")] = field(default_factory=Inner)
    width: Annotated[int, Ge(2), Le(9)] | None = None
    rate: Rate = 0.0
    level: Decibels = -3.0
    count: Count = 0
    weight: NotNegative = 0.0
    mode: Literal["a", "b"] = "a"


def outer(**values):
    inner = {key: values.pop(key) for key in ("share", "pairs", "low", "high") if key in values}
    return Outer(inner=Inner(**inner), **values) if inner else Outer(**values)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"seed": -1}, "seed is -1; it must be 0 or more."),
        ({"seed": 2**32}, "seed is 4294967296; it must be below 4294967296."),
        ({"share": 1.5}, "inner.share is 1.5; it must be 1 or less."),
        ({"share": float("nan")}, "inner.share is nan; it must be finite."),
        ({"pairs": (("x", 0.0),)}, "inner.pairs is (('x', 0.0),); it must be above 0."),
        ({"width": 1}, "width is 1; it must be 2 or more."),
        ({"rate": 1.0}, "rate is 1.0; it must be below 1."),
        ({"level": 0.5}, "level is 0.5; it must be 0 or less."),
        ({"count": -1}, "count is -1; it must be 0 or more."),
        ({"weight": float("inf")}, "weight is inf; it must be finite."),
        ({"mode": "c"}, "mode is 'c'; it must be one of 'a' or 'b'."),
    ],
)
def test_value_outside_its_bounds_is_named_with_the_bound(values, sentence):
    with pytest.raises(UserError) as raised:
        validate(outer(**values))
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    "values",
    [
        {"seed": 2**32 - 1},
        {"share": 0.0},
        {"share": 1.0},
        {"rate": 0.999},
        {"level": 0.0},
        {"width": 9},
        {"width": None},
    ],
)
def test_bounds_that_belong_to_the_range_are_accepted(values):
    validate(outer(**values))


def test_check_of_nested_settings_runs_after_the_bounds():
    with pytest.raises(UserError, match=r"^inner\.low is above inner\.high\.$"):
        validate(outer(low=2.0, high=1.0))
    with pytest.raises(UserError, match=r"^seed is -1"):
        validate(outer(seed=-1, low=2.0, high=1.0))


def test_field_of_a_tagged_union_is_named_without_the_tag():
    with pytest.raises(UserError) as raised:
        validate(Outer(inner=Other(count=0)))
    assert str(raised.value) == "inner.count is 0; it must be 1 or more."


settings = st.builds(
    Outer,
    seed=st.integers(0, 2**32 - 1),
    inner=st.one_of(
        st.builds(
            Inner,
            share=st.floats(0, 1),
            pairs=st.lists(st.tuples(st.text(max_size=3), st.floats(0.1, 9)), max_size=3).map(tuple),
        ),
        st.builds(Other, count=st.integers(1, 9)),
    ),
    width=st.none() | st.integers(2, 9),
    level=st.floats(-99, 0),
)


@hypothesis.settings(max_examples=20)
@given(settings)
def test_json_round_trip(settings):
    assert from_json(Outer, to_json(settings), "outer.json") == settings


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"seed": "x"}', "seed"),
        ('{"sede": 1}', "sede"),
        ('{"inner": {"kind": "inner", "share": 7}}', r"inner\.share"),
        ('{"inner": {"kind": "nothing"}}', "inner"),
        ("[]", "the file"),
    ],
)
def test_json_that_does_not_fit_is_refused_with_the_key(text, key):
    with pytest.raises(UserError, match=rf"^outer\.json: {key} does not fit this version of serjax \("):
        from_json(Outer, text, "outer.json")


@dataclass(frozen=True)
class Spoken:
    name: str


def test_letters_that_the_locale_does_not_have_are_told():
    with pytest.raises(UserError, match=r"letters that are none in this locale .* set LC_ALL=C\.UTF-8"):
        to_json(Spoken("\udcc3"))
