"""Drawn faces: each feature of an expression is seen where it belongs."""

from dataclasses import replace

import numpy as np
import pytest

from serjax.data.corpora.synthetic.face import Expression, Person, draw

PLAIN = Expression(smile=0.0, opening=0.4, stretch=1.0, brows=0.0, slant=0.0, eyes=1.0, motion=0.0)
PERSON = Person(
    skin=(224, 172, 140),
    hair=(20, 20, 20),
    shirt=(0, 0, 200),
    wall=(0, 200, 0),
    width=0.74,
    apart=0.32,
    mouth=0.62,
    long=False,
)


def frames(**changes):
    person = replace(PERSON, **{name: changes.pop(name) for name in ("long", "mouth") if name in changes})
    return draw(replace(PLAIN, **changes), person, np.random.default_rng(0)).astype(int)


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({"brows": 1.0}, (25, 50)),
        ({"slant": 1.0}, (25, 50)),
        ({"eyes": 0.5}, (35, 55)),
        ({"smile": 1.0}, (60, 85)),
        ({"opening": 1.0}, (60, 95)),
        ({"stretch": 1.5}, (60, 85)),
    ],
)
def test_a_feature_changes_its_part_of_the_picture_alone(changes, rows):
    changed = np.abs(frames(**changes) - frames()).max(axis=(0, 2, 3)) > 40
    assert changed[rows[0] : rows[1]].any()
    assert not changed[: rows[0]].any()
    assert not changed[rows[1] :].any()


def test_the_mouth_speaks_and_the_head_moves():
    still = np.ptp(frames(opening=0.0), axis=0).max(axis=(1, 2))
    assert (still < 60).all()  # grain alone
    speaking = np.ptp(frames(opening=1.0), axis=0).max(axis=(1, 2)) > 60
    assert speaking[60:95].any()
    assert not speaking[:60].any()
    moving = np.ptp(frames(opening=0.0, motion=1.0), axis=0).max(axis=(1, 2)) > 60
    assert moving[:60].sum() > 30


def test_long_hair_falls_beside_the_neck():
    dark = frames(long=True)[0].sum(-1) < 120
    assert dark[85:95].sum() > (frames()[0].sum(-1) < 120)[85:95].sum() + 50
