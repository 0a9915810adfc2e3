# The Python that has the extra `test` installed.
python := env("PYTHON", "python")

# The tests that need seconds: no torch, nothing slow. Two processes: compiling keeps one core busy, not two.
test *args:
    {{python}} -m pytest -n 2 --dist loadfile -m "not slow and not torch and not hf_flax" {{args}}

# The lines of serjax/ that the tests of `test` do not reach; pages to click through in htmlcov/.
coverage *args:
    {{python}} -m pytest -n 2 --dist loadfile -m "not slow and not torch and not hf_flax" --cov --cov-report term --cov-report html {{args}}

# Parity with PyTorch and the slow tests (extra `torch`).
test-all *args:
    {{python}} -m pytest -m "not hf_flax" {{args}}

# Equality with the Flax classes of transformers 4.57 (extra `hf-flax`, an environment of its own).
test-hf-flax *args:
    {{python}} -m pytest -m hf_flax {{args}}

lint:
    {{python}} -m ruff check .
    {{python}} -m ruff format --check .
    {{python}} -m mypy
    {{python}} -m mypy --config-file benchmarks/mypy.ini

# The benchmarks of docs/results (extra `bench`): a file NAME-RATE.md each, RATE in GFLOP/s.
bench tables="benchmarks/tables":
    {{python}} benchmarks/encoders.py --tables {{tables}}
    {{python}} benchmarks/encoders.py --families whisper wav2vec2-bert wav2vec2-conformer data2vec-audio sew --tables {{tables}}/families
    {{python}} benchmarks/encoder_start.py --tables {{tables}}
    {{python}} benchmarks/formulations.py --tables {{tables}}
    {{python}} benchmarks/front_ends.py --tables {{tables}}
    {{python}} benchmarks/functionals.py --tables {{tables}}
    {{python}} benchmarks/efficientnet.py --tables {{tables}}
    {{python}} benchmarks/five_folds.py --data.corpus synthetic --tables {{tables}}
    {{python}} benchmarks/input_pipeline.py --tables {{tables}}
    {{python}} benchmarks/folds_together.py --tables {{tables}}
    {{python}} benchmarks/frozen_heads.py --tables {{tables}}
    {{python}} benchmarks/study.py --tables {{tables}}
    {{python}} benchmarks/kmeans.py --tables {{tables}}
    {{python}} benchmarks/masked_prediction.py --tables {{tables}}
    {{python}} benchmarks/fusion_step.py --tables {{tables}}
    {{python}} benchmarks/million_clips.py --tables {{tables}}
    {{python}} benchmarks/timeline.py --tables {{tables}}
    {{python}} benchmarks/serve_load.py --tables {{tables}}

# The documentation as a site, into site/ (extra `docs`).
docs:
    {{python}} -m mkdocs build --strict
