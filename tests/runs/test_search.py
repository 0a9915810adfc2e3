"""Combinations of values by dotted names of fields, and the table of their runs."""

import json
from dataclasses import fields, is_dataclass, replace

import pytest

from serjax.config.experiment import Experiment
from serjax.data.config import FoldsConfig
from serjax.models.spectrogram import Functionals
from serjax.models.speech import Speech
from serjax.runs.search import by_setting, combinations, search_table, side_by_side
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


def row(validation, wa, **values):
    return {"values": values, "run": "x", "validation_macro_f1": validation, "wa": wa, "ua": wa, "macro_f1": wa}


def test_the_table_is_sorted_by_validation_and_marks_the_best():
    rows = [row(0.4, 0.9, dropout=0.1), row(0.5, 0.3, dropout=0.2), row(None, None, dropout=0.3)]
    assert search_table(rows).splitlines()[:5] == [
        "|  | dropout | validation macro-F1 | WA | UA | macro-F1 |",
        "|---|---:|---:|---:|---:|---:|",
        "| best | 0.2 | 50.0 | 30.0 | 30.0 | 30.0 |",
        "|  | 0.1 | 40.0 | 90.0 | 90.0 | 90.0 |",
        "|  | 0.3 | not finite | not finite | not finite | not finite |",
    ]


def test_mean_and_spread_are_over_seeds_and_not_over_settings():
    rows = [
        row(0.9, 0.4, seed=0, dropout=0.1),
        row(0.5, 0.6, seed=1, dropout=0.1),
        row(0.8, 0.4, seed=0, dropout=0.2),
        row(0.8, 0.4, seed=1, dropout=0.2),
        row(0.99, 0.4, seed=0, dropout=0.3),
        row(None, None, seed=1, dropout=0.3),
    ]
    assert search_table(rows).splitlines()[:5] == [
        "|  | dropout | seeds | validation macro-F1 | WA | UA | macro-F1 |",
        "|---|---:|---:|---:|---:|---:|---:|",
        "| best | 0.2 | 2 | 80.0 ± 0.0 | 40.0 ± 0.0 | 40.0 ± 0.0 | 40.0 ± 0.0 |",
        "|  | 0.1 | 2 | 70.0 ± 28.3 | 50.0 ± 14.1 | 50.0 ± 14.1 | 50.0 ± 14.1 |",
        # One of its seeds was given up: it comes last, however good the other one is.
        "|  | 0.3 | 1 of 2 | 99.0 | 40.0 | 40.0 | 40.0 |",
    ]
    assert [[one["values"]["seed"] for one in group] for group in by_setting(rows)] == [[0, 1]] * 3


def test_seeds_alone_are_one_setting():
    lines = search_table([row(0.5, 0.4, seed=0), row(0.7, 0.6, seed=1)]).splitlines()
    assert lines[2] == "| best | 2 | 60.0 ± 14.1 | 50.0 ± 14.1 | 50.0 ± 14.1 | 50.0 ± 14.1 |"


def fields_of(settings, path=""):
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            yield from fields_of(value, f"{path}{field.name}.")
        else:
            yield f"{path}{field.name}", value


def test_every_field_can_be_varied(tmp_path):
    experiment = searched(tmp_path)
    kept = {"name", "out", "overwrite", "search"}
    tried = {name: value for name, value in fields_of(experiment) if name not in kept | {"data.cache", "model.layout"}}
    assert len(tried) > 80
    for name, value in tried.items():
        # As the command line gives it: text.
        given = json.dumps(value) if isinstance(value, tuple) else str(value)
        ((_, one),) = combinations(replace(experiment, search=((name, given),)))
        assert dict(fields_of(one))[name] == value, name


def test_lists_and_none_are_values_too(tmp_path):
    search = (("optimizer.clip_norm", "None", "2"), ("augment.noise_snr", "[10, 20.5]"), ("data.labels", '["a","b"]'))
    first, second = (one for _, one in combinations(searched(tmp_path, *search)))
    assert (first.optimizer.clip_norm, second.optimizer.clip_norm) == (None, 2.0)
    assert first.augment.noise_snr == (10.0, 20.5)
    assert first.data.labels == ("a", "b")
    assert first.name == 'optimizer.clip_norm=None augment.noise_snr=[10,20.5] data.labels=["a","b"]'
    with pytest.raises(UserError, match=r"--search augment\.noise_snr \[1, x\]: it is no list"):
        list(combinations(searched(tmp_path, ("augment.noise_snr", "[1, x]"))))


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
