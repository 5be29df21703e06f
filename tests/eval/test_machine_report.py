"""The report of a run: what the page holds, that nothing in it can do harm, and that a browser shows it."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lecodec.errors import CodecError, InputError
from lecodec.eval.codecs.codec import IDENTITY
from lecodec.eval.figures.rows import AtRate, Pair
from lecodec.eval.measure.items import write_items
from lecodec.eval.measure.worker import file_of
from lecodec.eval.report import cells, tables
from lecodec.eval.report.gallery import choose
from lecodec.eval.report.page import write_report
from lecodec.eval.tasks.task import Answer, ItemRow

from .. import browser

EVIL = "</script><img src=x onerror=alert(1)>\"'&"
NAMES = [f"{n:02d}.jpg" for n in range(8)] + [f"08 {EVIL}", "09 größe 😀 \u2028.png"]
LADDERS = {
    "jpeg": (8.0, 30.0, 60.0, 90.0),
    "webp": (1.0, 20.0, 50.0, 80.0),
    IDENTITY: (0.0,),
    "odd <b>": (1.0, 2.0, 3.0, 4.0),
}
FORMATS = {"jpeg": "JPEG", "webp": "WEBP", IDENTITY: "PNG", "odd <b>": "PPM"}
COMMENTS = [
    "one row a coded file; bytes are those of the file",
    "versions: lecodec 0, python 3",
    "source made: pictures & shapes",
    "task blobs: top-1; counts <b>blobs</b>",
    "task same: cosine; a task without truth",
    "codec jpeg: libjpeg-turbo: 4:2:0",
    f"left out made/11.jpg: is no picture {EVIL}",
]


def picture(n: int) -> np.ndarray:
    y, x = np.mgrid[:96, :128]
    base = np.stack([128 + 90 * np.sin(x / (7 + n)), 128 + 90 * np.cos(y / 9), 2 * x - n], axis=2)
    return np.clip(base + np.random.default_rng(n).normal(0, 6, base.shape), 0, 255).astype(np.uint8)


def encode(codec: str, samples: np.ndarray, setting: float) -> bytes:
    if codec.startswith("odd"):
        step = int(2 ** (6 - setting))
        file = io.BytesIO()
        small = Image.fromarray(samples).reduce(5 - int(setting)).resize(samples.shape[1::-1])
        Image.fromarray(np.asarray(small) // step * step).save(file, "PPM")
        return file.getvalue()[: int(9000 * setting)].ljust(int(9000 * setting), b"\0")
    file = io.BytesIO()
    Image.fromarray(samples).save(file, FORMATS[codec], quality=int(setting))
    return file.getvalue()


def decode(codec: str, data: bytes) -> np.ndarray:
    if codec.startswith("odd"):
        data = data.ljust(96 * 128 * 3 + 15, b"\x50")
    try:
        with Image.open(io.BytesIO(data), formats=[FORMATS[codec]]) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError) as error:
        raise CodecError(f"not decoded: {error}") from error


def build(folder: Path, names=NAMES, codecs=tuple(LADDERS), settings: int = 4, tasks: bool = True, **metrics) -> Path:
    """A run's folder: real files, made-up answers that get better with the rate."""
    rows = []
    for n, name in enumerate(names):
        samples = picture(n)
        for codec in codecs:
            for place, setting in enumerate(LADDERS[codec][:settings]):
                data = encode(codec, samples, setting)
                path = file_of(folder, "made", codec, setting, name, f".{FORMATS[codec].lower()}")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                error = float(np.mean((samples.astype(float) - decode(codec, data)) ** 2))
                psnr = 10 * math.log10(65025 / error) if error else math.inf
                right = codec == IDENTITY and n != 3 or n % 5 < place + (codec == "webp")
                answers = {
                    "blobs": Answer(float(right), float(right or n == 3), f"{n} blobs <i>{place}</i>"),
                    "same": Answer(
                        math.nan, 1.0 if codec == IDENTITY else min(1.0, 0.6 + 0.09 * place + 0.004 * n), f"{n}"
                    ),
                }
                rows.append(
                    ItemRow(
                        "made",
                        name,
                        codec,
                        setting,
                        len(data),
                        96.0 * 128,
                        metrics or {"psnr": psnr, "d_net": 0.0 if codec == IDENTITY else 1 / (place + 1)},
                        answers if tasks else {},
                    )
                )
    write_items(folder / "items.tsv", COMMENTS, rows)
    return folder


def report(folder: Path, out: Path, **options) -> Path:
    return write_report(folder, out, decode=decode, **{"resamples": 100, **options})


def data_of(page: Path, name: str = "data"):
    """What one of the page's data blocks holds."""
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page.read_text("utf-8"), re.S)
    assert found, name
    return json.loads(found[1])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(results, tmp_path_factory.mktemp("report"), pictures=0)


# --- what is written


def test_everything_is_written(page: Path) -> None:
    names = {str(path.relative_to(page.parent)) for path in page.parent.rglob("*") if path.is_file()}
    tsv = {f"{name}.tsv" for name in ("points", "comparisons", "at-rate", "pairs", "correlations")}
    plots = {f"plots/made-{name}.png" for name in ("blobs", "same", "metrics")}
    assert names == {"index.html", "tables.md", *tsv, *plots}
    for name in plots:
        with Image.open(page.parent / name) as plot:
            assert plot.format == "PNG" and plot.width > 500


def test_names_and_answers_never_become_markup(page: Path) -> None:
    text = page.read_text("utf-8")
    assert "<img src=x" not in text and "<b>blobs" not in text and "<i>" not in text and "odd <b>" not in text
    assert text.count("</script>") == text.count("<script")
    assert data_of(page)["pictures"][8]["name"] == NAMES[8]
    assert data_of(page)["pictures"][9]["name"] == NAMES[9]
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text


def test_what_is_not_a_number_is_null(page: Path) -> None:
    data = data_of(page)
    assert data["pictures"][0]["original"]["metrics"]["psnr"] is None  # infinite
    assert data["pictures"][0]["original"]["answers"]["same"][0] is None
    assert "NaN" not in json.dumps(data)


def test_the_curves_hold_the_points(page: Path) -> None:
    figures = {figure["id"]: figure for figure in data_of(page)["figures"]}
    assert set(figures) == {
        "made-blobs-accuracy", "made-blobs-agreement", "made-same-accuracy", "made-metrics-psnr", "made-metrics-d_net"
    }  # fmt: skip
    accuracy = figures["made-blobs-accuracy"]
    assert accuracy["flat"][0] == pytest.approx(90.0) and accuracy["flat"][1] < 90 < accuracy["flat"][2]
    points = accuracy["series"]["jpeg"]
    assert [point[4] for point in points] == list(LADDERS["jpeg"])
    assert [point[1] for point in points] == pytest.approx([0.0, 20.0, 40.0, 60.0])
    assert all(point[2] <= point[1] <= point[3] for point in points)


def test_pictures_are_the_files_themselves(results: Path, page: Path) -> None:
    import base64

    images = data_of(page, "images-4")
    assert set(images) == {"original", "jpeg", "webp", "odd <b>"}

    def content(uri: str) -> bytes:
        return base64.b64decode(uri.partition(",")[2])

    for codec in ("jpeg", "webp"):
        files = [file_of(results, "made", codec, s, NAMES[4], f".{codec}").read_bytes() for s in LADDERS[codec]]
        assert [content(uri) for uri in images[codec]] == sorted(files, key=len)
    with Image.open(io.BytesIO(content(images["original"]))) as original:
        assert (np.asarray(original.convert("RGB")) == picture(4)).all()
    with Image.open(io.BytesIO(content(images["odd <b>"][-1]))) as shown:
        assert shown.format == "WEBP" and shown.size == (128, 96)


def test_pictures_are_evenly_spread(results: Path, tmp_path: Path) -> None:
    rows = [SimpleNamespace(source="s", item=str(n)) for n in range(9)]
    assert [item for _, item in choose(rows, 3)] == ["0", "4", "8"]  # type: ignore[arg-type]
    assert [item for _, item in choose(rows, 1)] == ["4"]  # type: ignore[arg-type]
    assert len(choose(rows, 0)) == len(choose(rows, 99)) == 9  # type: ignore[arg-type]
    calls: list[tuple[int, int]] = []
    found = report(results, tmp_path, pictures=2, progress=lambda done, total: calls.append((done, total)))
    assert [p["name"] for p in data_of(found)["pictures"]] == [NAMES[0], NAMES[9]]
    assert "2 of 10 pictures, evenly spread" in found.read_text("utf-8")
    assert calls[-1] == (26, 26)


def test_files_that_are_gone_or_damaged_are_told(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(results, folder)
    file_of(folder, "made", "jpeg", 30, NAMES[0], ".jpeg").unlink()
    damaged = file_of(folder, "made", "webp", 20, NAMES[0], ".webp")
    damaged.write_bytes(b"RIFF" + b"\0" * (damaged.stat().st_size - 4))
    longer = file_of(folder, "made", IDENTITY, 0, NAMES[9], ".png")
    longer.write_bytes(longer.read_bytes() + b"\0")
    found = report(folder, tmp_path / "out", pictures=2)
    pictures = data_of(found)["pictures"]
    assert [p["name"] for p in pictures] == [NAMES[0]]
    assert [row["setting"] for row in pictures[0]["codecs"]["jpeg"]] == [8, 60, 90]
    assert [row["setting"] for row in pictures[0]["codecs"]["webp"]] == [1, 50, 80]
    text = found.read_text("utf-8")
    assert "jpeg made at 30 is not in the folder" in text and "not decoded" in text and "as measured" in text


def test_tables_alone_make_a_page(results: Path, tmp_path: Path) -> None:
    """What is published of a run is its tables, not its files."""
    shutil.copy(results / "items.tsv", tmp_path / "items.tsv")
    found = report(tmp_path, tmp_path / "out")
    assert "No picture can be shown" in found.read_text("utf-8") and data_of(found)["figures"]


def test_one_setting_is_enough(tmp_path: Path) -> None:
    found = report(build(tmp_path / "run", codecs=("jpeg", IDENTITY), settings=1), tmp_path / "out")
    assert "only one codec" in found.read_text("utf-8")
    assert len(data_of(found)["figures"][0]["series"]["jpeg"]) == 1


def test_no_task_is_no_error(tmp_path: Path) -> None:
    found = report(build(tmp_path / "run", names=NAMES[:2], tasks=False), tmp_path / "out")
    assert "No task has answered" in found.read_text("utf-8") and len(data_of(found)["pictures"]) == 2


def test_sounds_are_not_looked_at(tmp_path: Path) -> None:
    found = report(build(tmp_path / "run", snr=12.0), tmp_path / "out")
    text = found.read_text("utf-8")
    assert "nothing to look at" in text and "kbit/s" in text and 'id="stage"' not in text.partition("<script>")[0]
    assert data_of(found)["pictures"] == []


def test_a_folder_without_a_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="items.tsv: cannot be read"):
        report(tmp_path, tmp_path / "out")


# --- tables


def at_rate(codec: str, rate: float, accuracy: float) -> AtRate:
    return AtRate("s", "t", codec, rate, "score", 50, accuracy, accuracy - 0.1, accuracy + 0.1, 0, 0, 0, "")


def test_the_best_and_what_cannot_be_told_from_it_are_marked() -> None:
    rows = [at_rate("a", 0.5, 0.8), at_rate("b", 0.5, 0.75), at_rate("c", 0.5, 0.5), at_rate("c", 1.0, math.nan)]
    pairs = [
        Pair("s", "t", 0.5, "a", "b", "score", 50, 5.0, -3.0, 13.0, False, 8.0),
        Pair("s", "t", 0.5, "a", "c", "score", 50, 30.0, 20.0, 40.0, True, 10.0),
        Pair("s", "t", 0.5, "b", "c", "score", 50, 25.0, math.nan, math.nan, False, math.nan),
    ]
    table = tables.at_equal_rate(rows, pairs, cells.BITS_A_PIXEL)
    assert table.columns == ("codec", "0.5 bpp", "1 bpp")
    assert [row[1].text for row in table.rows] == [
        "80.0 (70.0 to 90.0)",
        "≈ 75.0 (65.0 to 85.0)",
        "50.0 (40.0 to 60.0)",
    ]
    assert [row[1].strong for row in table.rows] == [True, False, False]
    assert {row[2].text for row in table.rows} == {""}
    told = tables.pairs_apart(pairs, cells.KBITS_A_SECOND)
    assert [row[4].text for row in told.rows] == ["no", "yes", "unknown"]
    assert told.rows[0][3].text == "+5.0 (−3.0 to +13.0)"
    text = cells.markdown(table)
    assert "| a | **80.0 (70.0 to 90.0)** |  |" in text and "| --- | ---: | ---: |" in text


def test_markdown_escapes_what_it_would_take_for_markup() -> None:
    table = cells.Table("T", "c", ("a|b",), ((cells.Cell("x|<y>*\n_z_", "k"),),))
    assert cells.markdown(table).splitlines()[-3:] == ["| a\\|b |", "| --- |", "| x\\|\\<y\\>\\* \\_z\\_ |"]


def test_the_markdown_has_all_tables(page: Path) -> None:
    text = (page.parent / "tables.md").read_text("utf-8")
    for title in ("## Overview", "## blobs", "### At equal rate", "### Which codecs differ", "### All points"):
        assert title in text
    blocks = re.findall(r"(?:^\|.*\|\n)+", text, re.M)
    assert len(blocks) == 11
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (page.parent / link).is_file()


# --- in a browser


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as running:
        yield running


@pytest.fixture
def opened(chromium, page: Path):
    found = browser.open_page(chromium, page)
    yield found
    complaints, asked = found.complaints, found.asked
    found.page.context.close()
    assert not complaints and asked == [page.resolve().as_uri()]


def test_curves_have_points_and_the_legend_hides_them(opened) -> None:
    page = opened.page
    figure = "figure[data-figure='made-blobs-accuracy']"
    assert page.locator(f"{figure} g[data-codec]").count() == 3
    assert page.locator(f"{figure} g[data-codec=jpeg] .dot").count() == 4
    xs = page.eval_on_selector_all(
        f"{figure} g[data-codec=jpeg] .dot", "all => all.map(d => d.getBoundingClientRect().x)"
    )
    assert xs == sorted(xs) and xs[-1] - xs[0] > 50
    button = page.locator(".legend button", has_text="jpeg")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert page.locator("g[data-codec=jpeg]").count() == 0 and page.locator("g[data-codec=webp]").count() == 5
    button.click()
    assert page.locator("g[data-codec=jpeg]").count() == 5


def test_a_curve_tells_its_figures(opened) -> None:
    page = opened.page
    plot = page.locator("figure[data-figure='made-blobs-accuracy'] svg")
    plot.locator("g[data-codec=webp] .dot").nth(1).hover()
    tip = page.locator(".tip:visible")
    assert "webp" in tip.inner_text() and "setting 20" in tip.inner_text() and "bpp" in tip.inner_text()
    assert "40.0% (" in tip.inner_text()
    page.mouse.move(0, 0)
    plot.focus()
    page.keyboard.press("Escape")
    assert page.locator(".tip:visible").count() == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "jpeg" in tip.inner_text() and "setting 30" in tip.inner_text()
    page.keyboard.press("ArrowDown")
    assert "webp" in tip.inner_text() and "setting 20" in tip.inner_text()


def test_a_finger_finds_a_point(chromium, page: Path) -> None:
    opened = browser.open_page(chromium, page, 390, 800, has_touch=True, is_mobile=True)
    opened.page.locator("figure[data-figure='made-blobs-accuracy'] g[data-codec=webp] .dot").first.tap()
    assert "setting 1," in opened.page.locator(".tip:visible").inner_text()
    opened.page.context.close()


def test_tables_sort(opened) -> None:
    page = opened.page
    page.locator("#made-blobs summary", has_text="All points").click()
    table = page.locator("#made-blobs details table").last
    column = table.locator("th", has_text="bytes")
    place = column.evaluate("head => head.cellIndex")

    def values() -> list[float]:
        return table.evaluate(f"t => [...t.tBodies[0].rows].map(r => +r.cells[{place}].dataset.key)")

    before = values()
    column.locator("button").click()
    assert column.get_attribute("aria-sort") == "ascending" and values() == sorted(before) != before
    column.locator("button").click()
    assert column.get_attribute("aria-sort") == "descending" and values() == sorted(before, reverse=True)
    table.locator("th button", has_text="codec").click()
    names = table.evaluate("t => [...t.tBodies[0].rows].map(r => r.cells[0].textContent)")
    assert len(names) == 13 and names == sorted(names)
    empty = table.locator("th button", has_text="lost")
    for _ in range(2):  # the uncompressed have no test: last in both orders
        empty.click()
        assert table.evaluate("t => t.tBodies[0].rows[12].cells[0].textContent") == IDENTITY


def test_the_divider_moves_by_keyboard_and_by_drag(opened) -> None:
    page = opened.page

    def place() -> tuple[float, str]:
        clip = page.evaluate("getComputedStyle(document.getElementById('over')).clipPath")
        return page.evaluate("parseFloat(document.getElementById('line').style.left)"), clip

    page.locator("#stage").scroll_into_view_if_needed()
    assert place() == (50.0, "inset(0px 50% 0px 0px)")
    page.locator("#divider").focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert place() == (40.0, "inset(0px 60% 0px 0px)")
    page.keyboard.press("End")
    everything = opened.pixels("#stage").astype(int)
    assert place()[0] == 100.0
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 40, steps=4)
    page.mouse.up()
    assert abs(place()[0] - 25.0) < 1
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 40)
    assert abs(place()[0] - 25.0) < 1  # let go
    moved = opened.pixels("#stage").astype(int)
    columns = np.abs(everything - moved)[32:72].mean(axis=(0, 2))  # between the labels and the handle
    width = len(columns)
    assert columns[: width // 5].max() == 0 and columns[width // 3 : width * 9 // 10].min() > 0.5


def test_codec_and_rate_change_the_picture(opened) -> None:
    page = opened.page
    page.locator("#divider").focus()
    page.keyboard.press("End")  # all of the left one

    def shown() -> np.ndarray:
        page.wait_for_function("[...document.querySelectorAll('#stage img')].every(i => i.complete && i.naturalWidth)")
        return opened.pixels("#stage")[40:-20].astype(float)

    assert page.locator("#left").input_value() == "jpeg" and page.locator("#right").input_value() == " original"
    page.locator("#rate").focus()
    page.keyboard.press("Home")
    coarse = shown()
    assert "setting 8," in page.locator("#rate-told").inner_text()
    page.keyboard.press("End")
    fine = shown()
    assert "setting 90," in page.locator("#rate-told").inner_text()
    page.locator("#divider").focus()
    page.keyboard.press("Home")  # all of the right one
    original = shown()
    assert np.abs(coarse - original).mean() > 1.5 * np.abs(fine - original).mean() > 0
    assert page.locator("#facts th[scope=col]").all_inner_texts() == ["original", "jpeg"]
    assert "0 blobs <i>3</i>\n✓ right" in page.locator("#facts").inner_text()
    page.locator("#right").select_option("webp")
    assert np.abs(shown() - original).mean() > 0
    assert page.locator("#facts th[scope=col]").all_inner_texts() == ["original", "jpeg", "webp"]
    facts = page.evaluate("[...document.querySelectorAll('#facts tr')][1].innerText").replace(",", "").split()
    assert facts[0] == "bytes" and all(int(number) > 0 for number in facts[1:])
    page.locator("#left").select_option("odd <b>")
    assert page.locator("#facts th[scope=col]").all_inner_texts()[1] == "odd <b>"
    page.locator("#picture").select_option(index=8)
    assert page.locator("#over").get_attribute("alt").startswith("08 </script>")
    assert np.abs(shown() - original).mean() > 5


@pytest.mark.parametrize("width", [1280, 768, 390, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(chromium, page: Path, width: int, scheme: str) -> None:
    opened = browser.open_page(chromium, page, width, 800, color_scheme=scheme)
    for details in opened.page.locator("details summary").all():
        details.click()
    assert opened.overflow() <= 0 and not opened.complaints
    opened.page.context.close()
