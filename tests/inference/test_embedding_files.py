"""Files of embeddings are read back by what people read such files with."""

import builtins
import csv
import json

import numpy as np
import pytest

from serjax.inference.embedded import EmbeddedClip, EmbeddingCache
from serjax.inference.embedding import Settings
from serjax.inference.embedding_files import POOLED, check_settings, check_suffix, read_settings, write
from serjax.runtime.errors import MissingPackage, UserError

POOLED_BY, FRAMES = Settings("hubert", "abc", (9,), "mean"), Settings("hubert", "abc", (9,), "none")
NAMES = ["a.wav", 'b, "x".wav', "ü/c.wav"]


def rows_and_cache(folder, frames=False, count=3):
    rng, cache, rows = np.random.default_rng(0), EmbeddingCache(folder / "cache", "key"), []
    for number in range(count):
        values = rng.normal(size=(number + 1, 4) if frames else 4).astype(np.float32)
        cache.keep(f"{number:02}", values)
        name = NAMES[number] if number < 3 else f"{number}.wav"
        rows.append(EmbeddedClip(name, number + 0.25, f"{number:02}"))
    return rows, cache


def stored(rows, cache):
    return np.stack([cache[row.digest] for row in rows])


COLUMNS = ["f0", "f1", "f2", "f3"]


def test_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    rows, cache = rows_and_cache(tmp_path, count=2050)  # three row groups
    write(tmp_path / "x.parquet", rows, cache, COLUMNS, POOLED_BY)
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.column_names == ["clip", "seconds", "digest", *COLUMNS]
    assert {str(table.schema.field(name).type) for name in COLUMNS} == {"float"}
    assert table["clip"].to_pylist() == [row.name for row in rows]
    assert table["seconds"].to_pylist() == [row.seconds for row in rows]
    np.testing.assert_array_equal(np.stack([table[name].to_numpy() for name in COLUMNS], 1), stored(rows, cache))
    assert json.loads(table.schema.metadata[b"serjax"])["layer"] == [9]


def test_pandas_has_the_settings_of_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    pandas = pytest.importorskip("pandas")
    rows, cache = rows_and_cache(tmp_path)
    write(tmp_path / "x.parquet", rows, cache, COLUMNS, POOLED_BY)
    table = pandas.read_parquet(tmp_path / "x.parquet")
    assert table.attrs["encoder"] == "hubert"
    np.testing.assert_array_equal(table[COLUMNS], stored(rows, cache))


def test_csv(tmp_path):
    rows, cache = rows_and_cache(tmp_path)
    write(tmp_path / "x.csv", rows, cache, COLUMNS, POOLED_BY)
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["clip", "seconds", "digest", *COLUMNS]
    assert [(row["clip"], float(row["seconds"]), row["digest"]) for row in found] == [
        (row.name, row.seconds, row.digest) for row in rows
    ]
    values = np.array([[row[name] for name in COLUMNS] for row in found], np.float32)
    np.testing.assert_array_equal(values, stored(rows, cache))


def test_npz(tmp_path):
    rows, cache = rows_and_cache(tmp_path, count=1030)
    write(tmp_path / "x.npz", rows, cache, COLUMNS, POOLED_BY)
    with np.load(tmp_path / "x.npz") as found:
        assert set(found) == {"clip", "seconds", "digest", "columns", "vectors", "metadata"}
        assert found["clip"].tolist() == [row.name for row in rows]
        assert found["columns"].tolist() == COLUMNS
        np.testing.assert_array_equal(found["vectors"], stored(rows, cache))
        assert json.loads(str(found["metadata"]))["pool"] == "mean"


def test_npy(tmp_path):
    rows, cache = rows_and_cache(tmp_path)
    write(tmp_path / "x.npy", rows, cache, COLUMNS, POOLED_BY)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), stored(rows, cache))
    beside = json.loads((tmp_path / "x.npy.json").read_text())
    assert (beside["clip"], beside["columns"], beside["encoder"]) == (NAMES, COLUMNS, "hubert")


def test_frames_in_one_file(tmp_path):
    rows, cache = rows_and_cache(tmp_path, frames=True)
    write(tmp_path / "x.npz", [*rows, rows[0]], cache, COLUMNS, FRAMES)
    with np.load(tmp_path / "x.npz") as found:
        assert set(found) == {"metadata", *NAMES}
        for row in rows:
            np.testing.assert_array_equal(found[row.name], cache[row.digest])
        assert json.loads(str(found["metadata"]))["clip"] == NAMES
    with pytest.raises(UserError, match="a clip is called metadata"):
        write(tmp_path / "y.npz", [rows[0]._replace(name="metadata")], cache, COLUMNS, FRAMES)


def test_frames_in_a_folder(tmp_path):
    rows, cache = rows_and_cache(tmp_path, frames=True)
    for given in (rows, rows[:2]):  # the second takes the place of the first
        write(tmp_path / "frames", given, cache, COLUMNS, FRAMES)
        with (tmp_path / "frames" / "clips.csv").open(encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file))
        assert [row["clip"] for row in found] == [row.name for row in given]
        for row, clip in zip(found, given, strict=True):
            np.testing.assert_array_equal(np.load(tmp_path / "frames" / row["file"]), cache[clip.digest])
        assert len(list((tmp_path / "frames").glob("*.npy"))) == len(given)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "frames"]


def outs(suffixes):
    return [pytest.param(suffix, marks=[] if suffix != ".parquet" else [needs_pyarrow]) for suffix in suffixes]


def has_pyarrow():
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return False
    return True


needs_pyarrow = pytest.mark.skipif(not has_pyarrow(), reason="pyarrow (extra 'parquet') is not installed")


@pytest.mark.parametrize("suffix", outs(POOLED))
def test_only_a_file_of_the_same_settings_is_replaced(tmp_path, suffix):
    out = tmp_path / f"x{suffix}"
    check_settings(out, POOLED_BY)
    rows, cache = rows_and_cache(tmp_path)
    write(out, rows, cache, COLUMNS, POOLED_BY)
    check_settings(out, POOLED_BY)
    check_settings(out, POOLED_BY._replace(encoder="hubert/"))  # the same weights, called by another name
    assert read_settings(out)["fingerprint"] == "abc"
    for other, told in (
        (POOLED_BY._replace(layer=(6, 9)), r"layer 9, now 6 9"),
        (POOLED_BY._replace(layer="head"), r"layer 9, now head"),
        (POOLED_BY._replace(pool="max"), r"pool mean, now max"),
        (POOLED_BY._replace(encoder="wavlm", fingerprint="def"), r"encoder hubert, now wavlm"),
        (POOLED_BY._replace(fingerprint="def"), r"fingerprint abc, now def"),
    ):
        with pytest.raises(UserError, match=rf"it was made with other settings \({told}\); name another"):
            check_settings(out, other)


@pytest.mark.parametrize("suffix", outs([*POOLED, ""]))
def test_what_is_not_of_serjax_is_left_alone(tmp_path, suffix):
    out = tmp_path / f"x{suffix}"
    if suffix:
        out.write_text("mine")
    else:
        out.mkdir()
    with pytest.raises(UserError, match="it is there and holds no embeddings of serjax; name another, or delete it"):
        check_settings(out, POOLED_BY)


@pytest.mark.parametrize(
    ("name", "frames", "message"),
    [
        ("x.txt", False, r"its suffix is none of .parquet, .csv, .npz, .npy; name such a file\.$"),
        ("x", False, r"its suffix is none of .*, or give --pool none for a folder of frames\.$"),
        (
            "x.csv",
            True,
            r"--pool none makes a matrix of frames a clip, which .csv cannot hold; give NAME.npz, or a fol",
        ),
        ("x.npy", True, r"which .npy cannot hold"),
    ],
)
def test_names_that_cannot_be_are_refused(tmp_path, name, frames, message):
    with pytest.raises(UserError, match=message):
        check_suffix(tmp_path / name, frames=frames)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(UserError, match="it is a folder; name a file"):
        check_suffix(tmp_path / "x.csv", frames=False)


def test_parquet_needs_its_package(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *given):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *given)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        MissingPackage, match=r"Parquet files are written by pyarrow, which is not installed; .*parquet"
    ):
        check_suffix(tmp_path / "x.parquet", frames=False)


def test_an_out_that_cannot_be_written_is_a_sentence(tmp_path):
    rows, cache = rows_and_cache(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="it cannot be written"):
        write(tmp_path / "file" / "x.npy", rows, cache, COLUMNS, POOLED_BY)
