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

# The benchmarks that docs/results/speed.md and docs/results/benchmarks.md report (extra `bench`).
bench:
    {{python}} benchmarks/encoders.py
    {{python}} benchmarks/encoder_start.py
    {{python}} benchmarks/formulations.py
    {{python}} benchmarks/front_ends.py
    {{python}} benchmarks/efficientnet.py
    {{python}} benchmarks/five_folds.py --data.corpus synthetic
    {{python}} benchmarks/input_pipeline.py
    {{python}} benchmarks/folds_together.py
    {{python}} benchmarks/frozen_heads.py
    {{python}} benchmarks/kmeans.py
    {{python}} benchmarks/masked_prediction.py
    {{python}} benchmarks/fusion_step.py

# The documentation as a site, into site/ (extra `docs`).
docs:
    {{python}} -m mkdocs build --strict
