"""Combinations of values by dotted names of fields, and the table of their runs."""

from dataclasses import replace

import pytest

from serjax.config.experiment import Experiment
from serjax.data.config import FoldsConfig
from serjax.models.spectrogram import Functionals
from serjax.models.speech import Speech
from serjax.runs.search import combinations, search_table, side_by_side
from serjax.runtime.errors import UserError


def searched(tmp_path, *search):
    return Experiment("base", search=search, out=str(tmp_path))


def test_every_combination_is_an_experiment_of_its_own(tmp_path):
    experiment = searched(tmp_path, ("seed", "0", 1), ("optimizer.max-lr", "1e-4", 1e-3))
    found = [one for _, one in combinations(experiment)]
    assert [(one.seed, one.optimizer.max_lr) for one in found] == [(0, 1e-4), (0, 1e-3), (1, 1e-4), (1, 1e-3)]
    assert found[0].name == "seed=0 optimizer.max_lr=1e-4"
    for one in found:
        assert one.run_dir.parent == experiment.run_dir
        assert one.data.cache == str(tmp_path)  # clips are decoded once for all
        assert one.search == ()


def test_families_and_paths_can_be_varied(tmp_path):
    first, second = (
        one for _, one in combinations(searched(tmp_path, ("model.family", "bilstm"), ("data.root", "a/b", "c")))
    )
    assert isinstance(first.model, Functionals)
    assert (first.data.root, second.data.root) == ("a/b", "c")
    assert first.name == "model.family=bilstm data.root=a_b"


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ((("model.dropot", 1),), r"model\.dropot: there is no such field; did you mean model\.dropout\?"),
        ((("model.dropout", 0.1, 1.5),), r"model\.dropout is 1\.5; it must be below 1"),
        ((("seed",),), "--search seed: give values after it"),
        ((("name", "x"),), "--search name: it does not change what is trained"),
        ((("seed", 1), ("seed", 2)), "a field is given twice"),
    ],
)
def test_what_cannot_be_varied_gets_a_sentence(tmp_path, search, message):
    with pytest.raises(UserError, match=message):
        list(combinations(searched(tmp_path, *search)))


def test_jobs_of_a_search_are_refused(tmp_path):
    one = replace(searched(tmp_path, ("seed", 0, 1)), job=True, folds=FoldsConfig(only=(1,)))
    with pytest.raises(UserError, match="--search and --job are both given; leave out --job"):
        list(combinations(one))


def test_the_table_has_a_row_for_every_run_and_their_spread():
    scores = [{"validation_macro_f1": 0.5, "wa": wa, "ua": 0.25, "macro_f1": 0.5} for wa in (0.4, 0.6)]
    rows = [{"values": {"seed": seed, "model.dropout": 0.1}, "run": "x", **score} for seed, score in enumerate(scores)]
    assert search_table(rows).splitlines() == [
        "| seed | model.dropout | validation macro-F1 | WA | UA | macro-F1 |",
        "|---:|---:|---:|---:|---:|---:|",
        "| 0 | 0.1 | 50.0 | 40.0 | 25.0 | 50.0 |",
        "| 1 | 0.1 | 50.0 | 60.0 | 25.0 | 50.0 |",
        "| mean ± std |  | 50.0 | 50.0 ± 14.1 | 25.0 ± 0.0 | 50.0 ± 0.0 |",
    ]


def test_combinations_that_differ_in_numbers_alone_are_one_group(tmp_path):
    experiment = Experiment("base", model=Speech(freeze="encoder"), out=str(tmp_path))

    def groups(*search):
        every = [one for _, one in combinations(replace(experiment, search=search))]
        return [len(group) for group in side_by_side(every)]

    assert groups(("optimizer.max_lr", 1e-4, 1e-3), ("train.label_smoothing", 0, 0.1)) == [4]
    assert groups(("optimizer.max_lr", 1e-4, 1e-3), ("model.head_size", 64, 128)) == [2, 2]
    assert groups(("seed", 0, 1), ("optimizer.weight_decay", 0, 0.1)) == [2, 2]
    # No limit of the norm is another program.
    assert groups(("optimizer.clip_norm", None, 1.0, 2.0)) == [1, 2]
    assert groups(("folds.together", "no", "yes"), ("optimizer.max_lr", 1e-4, 1e-3)) == [1, 1, 2]
