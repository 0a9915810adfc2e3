"""An exported run in a browser: onnxruntime-web in Chromium computes the logits of the ensemble."""

import functools
import http.server
import shutil
import subprocess
import tarfile
import threading
from dataclasses import replace

import numpy as np
import pytest
from exported_clips import clips
from saved_runs import FROZEN, write_run

from serjax.inference.ensemble import Ensemble
from serjax.inference.export.program import program
from serjax.inference.load import read_models

pytestmark = [pytest.mark.onnx, pytest.mark.slow]
PACKAGE = "onnxruntime-web@1.30.0"
FILES = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
PAGE = '<!doctype html><title>serjax</title><link rel="icon" href="data:,"><script src="ort.wasm.min.js"></script>'
ASK = """async ({file, wave, lengths, shape}) => {
    ort.env.wasm.numThreads = 1;
    const session = await ort.InferenceSession.create(file);
    const given = {
        wave: new ort.Tensor("float32", Float32Array.from(wave), shape),
        lengths: new ort.Tensor("int32", Int32Array.from(lengths), [lengths.length]),
    };
    const found = await session.run(given);
    return {inputs: session.inputNames, dims: found.logits.dims, logits: Array.from(found.logits.data)};
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """A folder with onnxruntime-web and a page that loads it."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    folder = tmp_path_factory.mktemp("web")
    done = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot fetch {PACKAGE}")
    with tarfile.open(folder / done.stdout.strip()) as archive:
        for name in FILES:
            (folder / name).write_bytes(archive.extractfile(f"package/dist/{name}").read())
    (folder / "index.html").write_text(PAGE)
    return folder


@pytest.fixture(scope="module")
def page(runtime):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs Chromium")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=runtime))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        yield page
        browser.close()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("file", ["model.onnx", "model.int8.onnx"])
def test_a_browser_computes_the_ensembles_logits(runtime, page, tmp_path, file):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    from serjax.inference.export.onnx_files import write_onnx

    write_run(tmp_path / "run", replace(FROZEN, pooling="attentive", head="relu", weighted_layers=True))
    models = read_models(tmp_path / "run")
    ensemble = Ensemble(models)
    made = program(models, ensemble.scoring, "little")
    write_onnx(made, tmp_path, int8=True)
    shutil.copy(tmp_path / file, runtime / file)
    for seed, lengths in enumerate([(5000,), (8000, 3000)]):
        wave, true, logits = clips(made, ensemble, seed, *lengths)
        asked = {"file": file, "wave": wave.ravel().tolist(), "lengths": true.tolist(), "shape": list(wave.shape)}
        found = page.evaluate(ASK, asked)
        assert (found["inputs"], found["dims"]) == (["wave", "lengths"], list(logits.shape))
        error = np.abs(np.array(found["logits"]).reshape(logits.shape) - logits).max()
        assert error < (1e-4 if file == "model.onnx" else 0.1)
