"""The page in Chromium: a file, an example, the microphone, the timeline, errors, the key; its policy is kept."""

import re
import shutil

import numpy as np
import pytest
import soundfile
from served import on_port, sound, wait_for

from serjax.inference.server.examples import examples

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra serve-test)")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
    # Of Chromium's pipes, which playwright closes when it is collected.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """File that Chromium's microphone hears: 10 s at 48 kHz."""
    path = tmp_path_factory.mktemp("microphone") / "spoken.wav"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 220 * np.arange(480_000) / 48_000), 48_000, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def browser(spoken):
    microphone = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", *microphone, f"--use-file-for-fake-audio-capture={spoken}"],
        )
        yield found
        found.close()


@pytest.fixture(scope="module")
def url(service_of):
    with on_port(service_of()) as found:
        yield found


@pytest.fixture
def page(browser, url):
    """The page, which must write nothing to the console: a breach of its policy would be written there."""
    found = browser.new_page(viewport={"width": 1100, "height": 1000})
    written = []
    found.on("console", lambda message: written.append(message.text))
    found.on("pageerror", lambda error: written.append(str(error)))
    found.goto(url)
    until(found, "model !== null")
    yield found
    found.close()
    assert [text for text in written if "status of 4" not in text] == []


def until(page, expression):
    """Wait for something in the page; its policy lets playwright's own waiting evaluate nothing."""
    wait_for(lambda: page.evaluate(expression), 30)


def answered(page, name):
    sync_api.expect(page.locator("#status")).to_contain_text(f"{name}: ", timeout=30_000)


def test_a_file_is_answered_with_bars_and_a_timeline(page, tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(sound(seconds=3))
    page.set_input_files("#file", path)
    answered(page, "clip.wav")
    rows = page.locator("#bars li").all_inner_texts()
    assert [row.split()[0] for row in rows] == ["angry", "happy", "sad"]
    assert sum(int(re.search(r"(\d+) %", row)[1]) for row in rows) in range(98, 103)
    assert page.locator("#segments tr").count() >= 1
    assert page.locator("#plot").get_attribute("aria-valuemax") == "3.0"
    # The waveform and the probabilities are drawn: more colours than the ground's.
    until(page, "peaks !== null")
    colours = page.evaluate(
        "() => new Set(new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)"
        ".data.buffer)).size"
    )
    assert colours > 3


def test_the_cursor_follows_the_keyboard_and_the_sound(page, tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(sound(seconds=6))
    page.set_input_files("#file", path)
    answered(page, "clip.wav")
    until(page, "player.readyState >= 2")
    page.focus("#plot")
    page.keyboard.press("ArrowRight")
    until(page, "document.getElementById('plot').getAttribute('aria-valuenow') === '1.0'")
    assert page.locator("#about").inner_text().startswith("from 0:0")
    left = page.evaluate("parseFloat(document.getElementById('cursor').style.left) / plot.clientWidth")
    assert left == pytest.approx(1 / 6, abs=0.01)
    page.keyboard.press("Enter")
    until(page, "player.currentTime > 1.3 && !player.paused")
    until(page, "parseFloat(document.getElementById('cursor').style.left) / plot.clientWidth > 1.2 / 6")
    page.keyboard.press("Enter")
    until(page, "player.paused")


def test_an_example_is_answered(page):
    sync_api.expect(page.locator("#examples button")).to_have_count(len(examples()))
    page.click("#examples button[data-name=conversation]")
    answered(page, examples()["conversation"].title)
    seconds = examples()["conversation"].seconds
    assert page.locator("#plot").get_attribute("aria-valuemax") == f"{seconds:.1f}"


def test_the_microphone_is_answered_live_and_then_as_a_recording(page):
    page.click("#record")
    sync_api.expect(page.locator("#about")).to_contain_text("live", timeout=30_000)
    assert page.locator("#record").get_attribute("aria-pressed") == "true"
    page.wait_for_timeout(1500)
    page.click("#record")
    answered(page, "the recording")
    assert float(page.locator("#plot").get_attribute("aria-valuemax")) > 1
    # The microphone was heard, and not silence.
    until(page, "peaks !== null && peaks.filter(value => value > .5).length > 600")


def test_an_error_is_shown_and_goes_again(page, tmp_path):
    bad, good = tmp_path / "bad.wav", tmp_path / "good.wav"
    bad.write_bytes(b"no sound at all")
    good.write_bytes(sound())
    page.set_input_files("#file", bad)
    sync_api.expect(page.locator("#error")).to_contain_text("not a sound file")
    page.set_input_files("#file", good)
    answered(page, "good.wav")
    sync_api.expect(page.locator("#error")).to_be_hidden()


def test_a_narrow_screen_scrolls_in_one_direction(page, tmp_path):
    page.set_viewport_size({"width": 320, "height": 700})
    page.click("#examples button[data-name=conversation]")
    answered(page, examples()["conversation"].title)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_everything_is_reached_by_the_keyboard_and_has_a_name(page, tmp_path):
    page.click("#examples button[data-name=sad]")
    answered(page, examples()["sad"].title)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, a, [role]")].filter(one =>
            one.offsetParent && !one.textContent.trim() && !one.getAttribute("aria-label") && !(one.labels || []).length
            && one.role !== "status").map(one => one.outerHTML)"""
    )
    assert nameless == []
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"record", "file", "plot", "save", "card"} <= reached


def test_the_key_is_asked_for(browser, service_of, tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(sound())
    with on_port(service_of(api_key="secret")) as own:
        page = browser.new_page()
        page.goto(own)
        sync_api.expect(page.locator("#error")).to_contain_text("The API key is missing")
        page.fill("#api-key", "secret")
        page.keyboard.press("Enter")
        sync_api.expect(page.locator("#model")).to_have_text("tiny")
        page.set_input_files("#file", path)
        answered(page, "clip.wav")
        page.click("#record")
        sync_api.expect(page.locator("#about")).to_contain_text("live", timeout=30_000)
        page.click("#record")
        answered(page, "the recording")
        page.close()
