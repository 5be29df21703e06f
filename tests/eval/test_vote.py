"""The page to vote in: equal bytes, no names before the end, and a sum that is right."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lecodec.cli.main import main
from lecodec.errors import InputError, OutputExists
from lecodec.eval.codecs.peers import codec_by_name
from lecodec.eval.figures.equal_bytes import Fitted
from lecodec.eval.vote import crop_at, run_vote

from .. import browser

NAMES = ["a.png", "b &<b>.png", "c.png"]


def _picture(n: int) -> np.ndarray:
    """Waves left, grain on the right: uint8 [120, 160, 3]."""
    y, x = np.mgrid[:120, :160]
    base = np.stack([128 + 60 * np.sin(x / (9 + n)), 128 + 60 * np.cos(y / 11), 90 + x / 2], 2)
    grain = np.random.default_rng(n).normal(0, 25, base.shape) * (x > 90)[..., None]
    return (base + grain).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("pictures")
    for n, name in enumerate(NAMES):
        Image.fromarray(_picture(n)).save(made / name)
    return made


@pytest.fixture(scope="module")
def page(folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("votes") / "vote.html"
    made = run_vote(folder, ["webp", "jpeg", "avif"], out, rates=(1.0, 2.0), side=64)
    assert (made.path, made.trials, made.skipped) == (out, 6, ())
    return out


def _data(page: Path) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found is not None
    return json.loads(found[1])


def _samples(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))


def test_the_largest_file_within_some_bytes():
    for name, most in (("jpeg", 3000), ("webp", 3000), ("jpeg2000", 4000)):
        codec = codec_by_name(name)
        data = Fitted(codec, _picture(0)).within(most)
        assert data is not None and 0.85 * most <= len(data) <= most
        sizes = [len(codec.encode(_picture(0), setting)) for setting in codec.ladder]
        assert len(data) >= max(size for size in sizes if size <= most)
    assert Fitted(codec_by_name("jpeg"), _picture(0)).within(100) is None


def test_busy_crops_and_calm_ones():
    assert crop_at(_picture(0), 64, 1.0)[1].stop > 130
    assert crop_at(_picture(0), 64, 0.0)[1].stop <= 92
    assert crop_at(_picture(0), 500, 0.5) == (slice(0, 120), slice(0, 160))


def test_crops_are_what_was_decoded_and_bytes_are_equal(page):
    data = _data(page)
    assert [trial["rate"] for trial in data["trials"]] == [1.0, 1.0, 2.0, 2.0, 1.0, 1.0]
    for trial in data["trials"]:
        n = NAMES.index(trial["name"])
        assert trial["ours"]["codec"] == "webp" and trial["rival"]["codec"] in ("jpeg", "avif")
        assert trial["ours"]["bytes"] <= trial["rival"]["bytes"] <= trial["rate"] * 120 * 160 / 8
        column, row = trial["place"]
        original = _picture(n)[row : row + 64, column : column + 64]
        assert np.array_equal(_samples(data["images"][trial["original"]]), original)
        for side in (trial["ours"], trial["rival"]):
            shown = _samples(data["images"][side["image"]])
            assert shown.shape == (64, 64, 3) and 0 < np.abs(shown.astype(int) - original).mean() < 30


def test_what_makes_no_sense_is_one_sentence(folder, page, tmp_path):
    with pytest.raises(OutputExists):
        run_vote(folder, ["webp", "jpeg"], page)
    out = tmp_path / "vote.html"
    for codecs, rates, said in (
        (["webp"], (1,), "two codecs"),
        (["webp", "webp"], (1,), "two codecs"),
        (["webp", "jpeg"], (), "above 0"),
        (["webp", "jpeg"], (0.001,), "nothing to vote on: a.png with jpeg: jpeg has no file of 0.001 bits"),
    ):
        with pytest.raises(InputError, match=said):
            run_vote(folder, codecs, out, rates=rates)
    assert not out.exists()


def test_a_table_says_which_crops_are_shown(folder, tmp_path):
    table, out = tmp_path / "places.tsv", tmp_path / "vote.html"
    table.write_text("picture\tx\ty\na.png\t30\t20\nb &<b>.png\t150\t110\n")
    made = run_vote(folder, ["webp", "jpeg"], out, rates=(2.0,), side=64, places=table)
    assert made.trials == 2
    places = {trial["name"]: tuple(trial["place"]) for trial in _data(out)["trials"]}
    assert places == {"a.png": (30, 20), "b &<b>.png": (96, 56)}  # the second is moved inside
    for text, said in (
        ("picture,x,y\nz.png,1,2\n", "z.png is not in"),
        ("picture,x,y\na.png,1\n", "line 2: expected picture, x, y"),
        ("picture,x,y\na.png,-1,2\n", "line 2"),
        ("picture,x,y\n", "expected a heading"),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=said):
            run_vote(folder, ["webp", "jpeg"], tmp_path / "other.html", places=table)
    assert not (tmp_path / "other.html").exists()


def test_the_command(folder, tmp_path, capfd):
    def call(*arguments: str) -> int:
        with pytest.raises(SystemExit) as exit:
            main(["eval", "vote", str(folder), "--codecs", "webp,jpeg", "-o", str(tmp_path / "v.html"), *arguments])
        return int(exit.value.code or 0)

    assert call("--bpp", "1.5", "--side", "64", "--limit", "1") == 0
    assert "v.html" in capfd.readouterr().out
    assert call("--bpp", "1.5", "--limit", "1") == 1 and "exists" in capfd.readouterr().err
    assert call("-f", "--bpp", "much") == 2


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as running:
        yield running


def test_votes_are_counted_without_names(chromium, page):
    opened = browser.open_page(chromium, page, 900, 900)
    tab = opened.page
    assert tab.locator("#which").is_hidden() and not tab.locator("#totals").is_visible()
    seen = tab.locator("main").inner_text()
    assert not any(name in seen for name in ("webp", "jpeg", "avif", "a.png"))
    data = _data(page)
    place = {image: n for n, image in enumerate(data["images"])}
    won = 0
    for n in range(6):
        assert f"Trial {n + 1} of 6" in tab.locator("#place").inner_text()
        left, right = (place[tab.locator(f"#{side}").get_attribute("src")] for side in ("left", "right"))
        pairs = {(trial["ours"]["image"], trial["rival"]["image"]): trial for trial in data["trials"]}
        first = (left, right) in pairs
        trial = pairs[(left, right) if first else (right, left)]
        if n == 0:  # the space bar shows the original, and does not press what has the focus
            tab.locator("#vote-right").focus()
            tab.keyboard.down(" ")
            assert place[tab.locator("#left").get_attribute("src")] == trial["original"]
            tab.keyboard.up(" ")
            assert place[tab.locator("#left").get_attribute("src")] == left
            assert "Trial 1 of 6" in tab.locator("#place").inner_text()
        if n < 3:  # the one under test
            tab.keyboard.press("ArrowLeft" if first else "ArrowRight")
            won += trial["rival"]["codec"] == "jpeg"
        elif n == 3:
            tab.locator("#vote-none").click()
        else:
            tab.locator("#vote-right" if first else "#vote-left").click()
    assert tab.locator("#trial").is_hidden() and tab.locator("#which").is_visible()
    rows = tab.locator("#totals tr").all_inner_texts()
    cells = [row.split("\t") for row in rows[1:]]
    totals = [row for row in cells if row[1] == "all"]
    assert [row[0] for row in totals] == ["jpeg", "avif"]
    assert [sum(int(row[place]) for row in totals) for place in (2, 3, 4)] == [3, 2, 1]
    assert int(totals[0][2]) == won
    saved = tab.locator("#save").get_attribute("href")
    assert saved.startswith("data:text/tab-separated-values") and saved.count("%0A") == 7
    tab.reload()
    assert tab.locator("#trial").is_hidden() or "Trial 1" in tab.locator("#place").inner_text()
    tab.locator("#sum").evaluate("sum => sum.open = true")
    tab.locator("#again").click()
    assert "Trial 1 of 6" in tab.locator("#place").inner_text() and not tab.locator("#which").is_visible()
    assert opened.overflow() <= 0 and not opened.complaints
    assert set(opened.asked) == {page.resolve().as_uri()}
    tab.context.close()
