"""Collectives in HLO text: bytes, groups in every form, and the axes that they cross."""

import pytest

from serjax.runs.planning.collectives import Collective, read_collectives

LITERAL = "%a = f32[5,3]{1,0} all-reduce(%x), replica_groups={{0,1},{2,3},{4,5},{6,7}}, to_apply=%add"
IOTA = "%a = (bf16[8]{0:T(8,128)(2,1)}, /*index=1*/f32[]{:S(1)}) all-reduce(%x), replica_groups=[2,4]<=[4,2]T(1,0)"
MESH = "%a = bf16[4,16]{1,0} all-gather(%x), replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}, dimensions={1}"
MESH_FOLD = "%a = pred[4]{0} all-gather(%x), replica_groups=mesh['a'=1,'b'=2,'c'=4] {'b'}, dimensions={0}"
MESH_IDS = "%a = f32[4]{0} all-gather(%x), replica_groups=mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'b'}, dims"
PAIRS = "%a = s32[7]{0} collective-permute(%x), source_target_pairs={{0,1},{1,0}}"
START = "%a = (f32[2]{0}, f32[8]{0}) all-gather-start(%x), replica_groups={{0,1,2,3},{4,5,6,7}}, dimensions={0}"
EVERYONE = "%a = f32[2]{0} all-reduce(%x), replica_groups={}, to_apply=%add"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (LITERAL, Collective("all-reduce", 60, 2, ("data",))),
        (IOTA, Collective("all-reduce", 20, 4, ("fold", "data"))),
        (MESH, Collective("all-gather", 128, 4, ("data",))),
        (MESH_FOLD, Collective("all-gather", 4, 2, ("fold",))),
        (MESH_IDS, Collective("all-gather", 16, 2, ("fold",))),
        (PAIRS, Collective("collective-permute", 28, 2, ("data",))),
        (START, Collective("all-gather", 32, 4, ("data",))),
        (EVERYONE, Collective("all-reduce", 8, 8, ("fold", "data"))),
    ],
    ids=["literal", "iota", "mesh", "mesh fold", "mesh of ids", "pairs", "start", "everyone"],
)
def test_a_collective(line, expected):
    assert read_collectives(f"ENTRY main\n  {line}\n  %b = f32[] add(%a, %a)\n", (2, 4)) == [expected]


def test_the_end_of_an_asynchronous_one_is_none():
    assert read_collectives("%b = f32[8]{0} all-gather-done(%a)", (2, 4)) == []


def test_groups_that_are_not_understood_are_an_error():
    with pytest.raises(ValueError, match="without groups"):
        read_collectives("%a = f32[2]{0} all-reduce(%x), to_apply=%add", (2, 4))
    with pytest.raises(ValueError, match="parts of axes"):
        read_collectives("%a = f32[2]{0} all-reduce(%x), replica_groups=mesh['a'=8] {'a:(1)2'}", (2, 4))


@pytest.mark.parametrize(
    ("kind", "sent"), [("all-reduce", 150), ("all-gather", 75), ("reduce-scatter", 300), ("collective-permute", 100)]
)
def test_bytes_that_a_ring_of_four_sends(kind, sent):
    assert Collective(kind, 100, 4, ("data",)).sent == sent
