"""`lecodec eval lossless`: sizes are those of files, every codec gives back every sample, forms of sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lecodec.cli.main import app
from lecodec.codec.lossless import LosslessCodec
from lecodec.codec.media.picture_write import write_picture
from lecodec.errors import CodecError, InputError
from lecodec.eval import lossless
from lecodec.eval.codecs import lossless as lossless_peers
from lecodec.eval.lossless import run_lossless
from lecodec.eval.tasks.subjects import pictures_of


@pytest.fixture
def sources(tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("lecodec.codec.registry._files", list)  # whatever is shipped: the fallback
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(picture).save(folder / "a.png")
    Image.fromarray(picture[:30, :20, 1]).save(folder / "b.png")
    deep = tmp_path / "deep"
    deep.mkdir()
    write_picture(picture.astype(np.uint16) * 200 + 7, deep / "c.png")
    np.save(tmp_path / "few.npy", np.random.default_rng(0).integers(0, 4, (30, 5, 6)).astype(np.uint8))
    return [str(folder), f"deep={deep}", f"few={tmp_path / 'few.npy'}"]


def test_every_size_is_a_file_size_and_every_codec_is_checked(sources, tmp_path, picture):
    result = run_lossless(sources, ["lecodec", "png", "webp", "xz", "zstd"], tmp_path / "out.tsv")
    found = {(row["data"], row["codec"]): row for row in result.rows}
    assert len(found) == 3 * 5 - 1 and result.skipped[0][0] == "webp on deep"
    codec = LosslessCodec()
    assert found["pictures", "lecodec"]["bytes"] == len(codec.encode(picture)) + len(codec.encode(picture[:30, :20, 1]))
    items = np.load(tmp_path / "few.npy")
    assert found["few", "lecodec"]["bytes"] == len(codec.encode_set(items)) and found["few", "lecodec"]["form"] == "set"
    assert found["few", "png"]["form"] in ("rows", "mosaic", "column", "each")
    assert found["deep", "png"]["bytes"] < picture.size * 2
    lines = (tmp_path / "out.tsv").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")][0].split("\t") == list(lossless.COLUMNS)
    assert any("skipped webp on deep: " in line for line in lines)
    assert str(tmp_path) not in "\n".join(lines)


def test_a_codec_that_changes_samples_is_left_out(sources, tmp_path, monkeypatch):
    def lies() -> lossless_peers._Peer:
        return lossless_peers._Peer(
            "liar", "lies", lambda a: a.tobytes(), lambda data: np.zeros(len(data), np.uint8), "bytes"
        )

    monkeypatch.setitem(lossless_peers.PEERS, "liar", lies)
    result = run_lossless(sources[:1], ["liar", "xz"], tmp_path / "out.tsv")
    assert [row["codec"] for row in result.rows] == ["xz"]
    assert "as it was" in result.skipped[0][1]
    with pytest.raises(InputError, match="nothing could be measured"):
        run_lossless(sources[:1], ["liar"], tmp_path / "out.tsv")


def test_forms_hold_every_sample():
    items = np.random.default_rng(1).integers(0, 256, (7, 4, 5, 3)).astype(np.uint8)
    forms = pictures_of(items)
    assert set(forms) == {"rows", "mosaic", "column", "each"}
    mosaic = forms["mosaic"][0]
    assert mosaic.shape == (12, 15, 3) and np.array_equal(mosaic[4:8, 5:10], items[4])
    assert np.array_equal(forms["column"][0][8:12], items[2])
    assert set(pictures_of(items.reshape(7, -1))) == {"rows"}


def test_unknown_codecs_and_missing_programs_get_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="unknown codec 'gif'; there are lecodec"):
        lossless_peers.lossless_codec_by_name("gif")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CodecError, match="needs the program cjxl"):
        lossless_peers._with_cjxl(np.zeros((4, 4), np.uint16))


def test_the_command_prints_the_table(sources, tmp_path):
    out = tmp_path / "t.tsv"
    result = CliRunner().invoke(app, ["eval", "lossless", sources[2], "--codecs", "lecodec,xz", "-o", str(out)])
    assert result.exit_code == 0 and "bits_per_sample" in result.output and out.exists()
    assert CliRunner().invoke(app, ["eval", "lossless", str(tmp_path / "no"), "-o", str(out)]).exit_code == 1


def test_what_is_verified_has_the_same_bytes_and_is_decoded_once_more(sources, tmp_path, monkeypatch):
    decoded = []
    whole = LosslessCodec.decode_batch
    monkeypatch.setattr(LosslessCodec, "decode_batch", lambda *a, **k: decoded.append(1) or whole(*a, **k))
    counts = {}
    for codec in ("lecodec", "lecodec:verified"):
        before = len(decoded)
        (row,) = run_lossless(sources[:1], [codec], tmp_path / "out.tsv").rows
        assert row["codec"] == codec
        counts[codec] = len(decoded) - before, row["bytes"]
    assert counts["lecodec:verified"][0] == counts["lecodec"][0] + 2
    assert counts["lecodec:verified"][1] == counts["lecodec"][1]
