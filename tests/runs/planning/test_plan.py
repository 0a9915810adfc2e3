"""Plans of meshes: memory and work by counting, compiled for the devices at hand, the best of a sweep, bad meshes."""

from dataclasses import replace

import jax
import pytest

from serjax.config.experiment import Experiment
from serjax.models.base import EncoderLayout, Resolution
from serjax.models.encoders.whisper_config import WhisperConfig
from serjax.models.functional import count
from serjax.models.speech import Speech
from serjax.runs.planning.counting import size
from serjax.runs.planning.plan import Planner, best, sweep
from serjax.runs.planning.resolve import Extent
from serjax.runs.planning.topology import find_topology, local_topology
from serjax.runtime.errors import UserError
from serjax.training.config import TrainConfig

EXTENT = Extent(folds=5, train=100, validation=20, classes=3, note="")


@pytest.fixture(scope="module")
def experiment(tiny_encoder):
    model = Speech(size="tiny", freeze="cnn", head_size=8, attention_size=8)
    model = model.resolved(Resolution(0.35, EncoderLayout(tiny_encoder, normalize=True)))
    found = Experiment("x", model=model, train=TrainConfig(epochs=3, batch_size=8))
    # Of 0.4 s, five folds on five devices and two at once on eight take the same time, to a thousandth.
    return replace(found, data=replace(found.data, max_seconds=0.35))


@pytest.fixture(scope="module")
def planner(experiment):
    return Planner(experiment, EXTENT, find_topology("v5e-8"), utilization=0.5)


def test_work_is_shared_by_devices(planner):
    one, data, fold = (planner.mesh(*shape) for shape in ((1, 1), (1, 8), (5, 1)))
    assert (one.folds, one.rows, data.rows, fold.folds) == (5, 8, 1, 1)
    assert one.work.flops == pytest.approx(5 * fold.work.flops)
    assert data.work.flops < one.work.flops / 4
    assert one.memory > data.memory > 0
    assert one.memory > fold.memory
    assert (one.times.links, fold.times.links) == (0, 0)
    assert data.work.reduced == 5 * 4 * count(planner.step.state.params)
    assert data.times.links > 0


def test_memory_holds_states_and_grows_with_rows(planner):
    step = planner.step
    assert planner.memory(1, 8) > size(step.state) + size(step.state.params) + size(step.frozen)
    assert planner.memory(1, 16) > planner.memory(1, 8)
    two = planner.memory(2, 8) - planner.memory(1, 8)
    assert two == pytest.approx(planner.memory(1, 8) - size(step.frozen))


@pytest.mark.slow
def test_remat_saves_memory_and_costs_work(experiment, tiny_encoder):
    deep = EncoderLayout(replace(tiny_encoder, num_hidden_layers=8, intermediate_size=128), normalize=True)
    what = replace(experiment, model=replace(experiment.model, layout=deep))
    planner = Planner(what, EXTENT, find_topology("v5e-8"), utilization=0.5)
    assert planner.memory(1, 128, remat=True) < planner.memory(1, 128)
    assert planner.at(8, remat=True).flops > planner.at(8).flops


def test_a_line_between_traced_sizes_is_not_below_the_truth(planner):
    for rows in (2, 5, 32):
        assert planner.at(rows).peak >= 0.999 * planner._count(rows, False).peak


def test_hours_of_all_epochs(planner):
    found = planner.mesh(5, 1)
    # 13 steps of 8 clips, and three batches of validation at a third each.
    assert found.hours == pytest.approx(3 * (13 + 1) * found.times.step() / 3600)


def test_the_best_mesh_of_a_sweep_lays_folds_across(planner):
    ticks = []
    plans = sweep(planner, planner.shapes(), compile=False, tick=lambda: ticks.append(1))
    assert len(ticks) == len(plans)
    # Four devices take as many turns at five folds as three.
    assert {(plan.fold, plan.data) for plan in plans} == {
        *((1, data) for data in (1, 2, 4, 8)),
        *((2, data) for data in (1, 2, 4)),
        *((3, data) for data in (1, 2)),
        (5, 1),
    }
    found = best(plans, planner.topology.chip)
    assert (found.fold, found.data) == (5, 1)


def test_nothing_is_best_where_nothing_fits(planner):
    plans = sweep(planner, [(5, 1)], compile=False)
    assert best(plans, replace(planner.topology.chip, memory=1e5)) is None


def test_the_largest_batch_that_fits(experiment):
    chip = replace(find_topology("v5e-8").chip, memory=0.0)
    planner = Planner(experiment, EXTENT, replace(find_topology("v5e-8"), chip=chip), utilization=0.5)
    assert planner.largest_batch(1, False) == 0
    enough = replace(planner.topology, chip=replace(chip, memory=planner.memory(1, 32) / 0.9 + 1))
    planner.topology = enough
    assert planner.largest_batch(1, False) == 32


@pytest.mark.parametrize(
    ("fold", "data", "told"),
    [
        (3, 4, "it has 12 devices, but v5e-8 has 8"),
        (0, 1, "smaller"),
        (6, 1, "6 devices lie along 5 folds"),
        (1, 3, r"3 does not divide train\.batch_size \(8\)"),
    ],
)
def test_meshes_that_cannot_be(planner, fold, data, told):
    with pytest.raises(UserError, match=told):
        planner.mesh(fold, data)


def test_parts_of_a_batch_must_divide_too(experiment):
    what = replace(experiment, train=replace(experiment.train, accumulate=4))
    planner = Planner(what, EXTENT, find_topology("v5e-8"), utilization=0.5)
    with pytest.raises(UserError, match=r"train\.batch_size / train\.accumulate \(2\)"):
        planner.mesh(1, 4)
    assert planner.mesh(1, 2).rows == 4


def test_a_step_compiled_and_timed_here(experiment):
    devices = jax.devices()
    planner = Planner(experiment, replace(EXTENT, folds=2), local_topology(devices), utilization=0.5, devices=devices)
    found = planner.mesh(1, 1, compile=True)
    assert found.collectives == ()
    assert found.seconds > 0
    assert found.hours == pytest.approx(3 * (13 + 1) * found.seconds / 3600)
    # The compiled program holds its states, and needs less than counting says.
    assert 2 * size(planner.step.state) < found.memory < found.bound
    assert found.compiled_flops > 0


def test_training_lays_folds_across_where_sharing_their_batches_takes_longer(planner):
    assert planner.default() == (5, 1)
    assert planner.cost(5, 1, 1) == planner.mesh(5, 1).seconds < planner.cost(1, 8, 1)


def test_nothing_is_known_of_a_cpu(experiment):
    planner = Planner(experiment, EXTENT, local_topology(jax.devices()))
    assert planner.cost is None
    planner.choose_shard("auto")
    assert planner.shard == 1


@pytest.fixture
def wide(experiment, tiny_encoder):
    layout = EncoderLayout(replace(tiny_encoder, intermediate_size=2**14), normalize=True)
    what = replace(experiment, model=replace(experiment.model, layout=layout))
    return Planner(what, EXTENT, find_topology("v5e-8"))


def test_split_parameters_take_less_memory_and_travel(wide):
    whole = wide.mesh(1, 8)
    wide.choose_shard(4)
    split = wide.mesh(1, 2)
    assert (split.shape, split.devices, split.rows) == ("1 x 2 x 4", 8, 1)
    state = size(wide.step.state) + size(wide.step.state.params)
    # A quarter of the state is kept, and parameters are whole once more while a pass computes.
    assert whole.memory - split.memory == pytest.approx(5 * (0.75 * state - size(wide.step.state.params)), rel=0.05)
    assert split.work.bytes_sent > whole.work.bytes_sent
    assert wide.shapes() == [(1, 1), (1, 2), (2, 1)]
    assert wide.default() in wide.shapes()


def test_parameters_are_split_where_they_do_not_fit(wide):
    wide.choose_shard("auto")
    assert wide.shard == 1
    wide.topology = replace(wide.topology, chip=replace(wide.topology.chip, memory=3 * size(wide.step.state)))
    wide.choose_shard("auto")
    assert wide.shard > 1


def test_a_split_that_cannot_be(planner, wide):
    with pytest.raises(UserError, match=r"--mesh\.shard 3: it does not divide the 8 devices"):
        planner.choose_shard(3)
    wide.choose_shard(4)
    with pytest.raises(UserError, match=r"--mesh 2x2 with --mesh\.shard 4: it has 16 devices, but v5e-8 has 8"):
        wide.mesh(2, 2)


def test_a_whisper_that_is_padded_costs_its_thirty_seconds(experiment):
    small = WhisperConfig(num_mel_bins=16, d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24)
    layout = EncoderLayout(small)
    flops = {}
    for padding in ("exact", "transformers"):
        model = Speech(family="whisper", size="tiny", freeze="cnn", head_size=8, attention_size=8, padding=padding)
        what = replace(experiment, model=model.resolved(Resolution(3.0, layout)))
        what = replace(what, data=replace(what.data, max_seconds=3.0))
        flops[padding] = Planner(what, EXTENT, find_topology("v5e-8"), utilization=0.5).at(8).flops
    assert flops["transformers"] > 5 * flops["exact"]


def test_blocks_above_the_layer_that_is_taken_cost_nothing(experiment, tiny_encoder):
    def counted(layers, layer):
        layout = EncoderLayout(replace(tiny_encoder, num_hidden_layers=layers), normalize=True)
        model = replace(experiment.model, layer=layer, layout=layout)
        return Planner(replace(experiment, model=model), EXTENT, find_topology("v5e-8"))._count(8, False)

    assert counted(2, 1)[:2] == counted(1, None)[:2]
