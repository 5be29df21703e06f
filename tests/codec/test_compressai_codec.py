"""The codec of imported models, without CompressAI: round trips, exactness, damage, targets, the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import pytest
import torch
from PIL import Image

import lecodec
from lecodec.bitstream import frame, parse, read_header
from lecodec.cli.main import main
from lecodec.codec.compressai_import import NETWORKS, import_compressai
from lecodec.codec.compressai_transform import compressai_model
from lecodec.codec.image import ImageCodec
from lecodec.codec.model_file import load_tensors, parse_tensors, read_card
from lecodec.entropy import imported_coding
from lecodec.entropy.coder import Reader, Writer
from lecodec.entropy.imported_coding import imported_model
from lecodec.entropy.imported_layers import LIMIT, ImportedLayer, integers_of, leaky, phases
from lecodec.entropy.program import Builder, Program
from lecodec.entropy.run_numpy import NumpyRuntime
from lecodec.entropy.run_torch import TorchRuntime
from lecodec.entropy.runtime import runtime_of
from lecodec.errors import CorruptFile, InputError, ModelError

from ..compressai_states import state_of


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, Path]:
    """A model file of each network, by its name."""
    folder = tmp_path_factory.mktemp("imported")
    made = {}
    for network in NETWORKS:
        torch.save(state_of(network), folder / f"{network}.pth")
        out = folder / f"{network}.safetensors"
        made[network] = import_compressai(f"compressai:{network}", folder / f"{network}.pth", out)
    return made


@pytest.fixture(scope="session", params=NETWORKS)
def codec(request, models) -> lecodec.ImageCodec:
    return lecodec.load(model=models[request.param])


@pytest.fixture(scope="session")
def mean(models) -> lecodec.ImageCodec:
    return lecodec.load(model=models["mbt2018-mean"])


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    planes = [120 + 70 * np.sin(x / 7 + c) + 40 * np.cos(y / (5 + c)) for c in range(channels)]
    out = (np.stack(planes, 2) + rng.normal(0, 6, (height, width, channels))).clip(0, 255).astype(np.uint8)
    return out[:, :, 0] if channels == 1 else out


def same(a, b) -> bool:
    return len(a.levels) == len(b.levels) and all(map(np.array_equal, a.levels, b.levels)) and a.digest() == b.digest()


# -- round trips


def test_sixteen_bits_are_not_eight(codec):
    wide, narrow = picture(40, 50).astype(np.uint16) * 257, picture(40, 50)
    found, expected = codec.decode(codec.encode(wide)), codec.decode(codec.encode(narrow))
    assert np.abs(found / 257 - expected).max() <= 0.51


def test_tiles_windows_and_the_whole_give_the_same_picture(codec, monkeypatch):
    """However transforms are divided, pixels are within one grey level; and margins matter."""
    samples = picture(210, 150)
    data = codec.encode(samples, tile=64)
    assert read_header(data).layout.units == 12
    whole = codec.decode(data).astype(int)
    y = codec.transform.analyse([samples], [0])
    monkeypatch.setattr(codec.transform, "window", 64)
    assert np.abs(codec.decode(data) - whole).max() <= 1
    assert np.allclose(codec.transform.analyse([samples], [0]), y, atol=1e-3)
    for name in ("reach", "reach_a"):
        monkeypatch.setattr(codec.transform, name, 1)
    assert np.abs(codec.decode(data) - whole).max() > 1
    assert not np.allclose(codec.transform.analyse([samples], [0]), y, atol=1e-3)


def test_degrade_is_decoding_after_encoding(codec):
    batch = np.stack([picture(50, 70, 3, seed) for seed in range(2)])
    out = codec.degrade(torch.from_numpy(batch).permute(0, 3, 1, 2), [10, 90])
    expected = [codec.decode(codec.encode(p)) for p in batch]
    assert np.abs(out.permute(0, 2, 3, 1).numpy().astype(int) - np.stack(expected)).max() <= 1


def test_random_values_beyond_every_table_come_back(mean):
    """Escapes of z and y, as hostile or unusual pictures make them."""
    rng = np.random.default_rng(0)
    y = rng.normal(0, 3000, (1, mean.entropy.latent, 6, 5)).astype(np.float32)
    z = rng.integers(-9000, 9000, (1, mean.entropy.hyper, 2, 2)).astype(np.int32)
    writer = Writer()
    (written,) = mean.entropy.traverse([writer], (6, 5), [0], (z, y))
    (read,) = mean.entropy.traverse([Reader(writer.finish())], (6, 5), [0])
    assert same(written, read) and np.abs(written.y_hat / 64 - y[0]).max() < 0.51


# -- one rate


def test_quality_makes_no_difference_and_is_checked(codec):
    samples = picture(40, 50)
    assert len({codec.encode(samples, quality) for quality in (None, 1, 37.5, 100)}) == 1
    assert read_header(codec.encode(samples, 80)).quality == 0
    for quality in (0, 101, float("nan")):
        with pytest.raises(InputError, match="outside 1 to 100"):
            codec.encode(samples, quality)
    with pytest.raises(InputError, match="only one of"):
        codec.encode(samples, 5, bpp=1)


def test_targets_are_met_or_refused_with_what_there_is(codec):
    samples = picture(100, 130)
    data = codec.encode(samples)
    bpp = 8 * len(data) / (100 * 130)
    error = codec.decode(data).astype(float) - samples
    psnr = 10 * float(np.log10(255**2 / np.square(error).mean()))
    for met in ({"size": len(data)}, {"size": 10**6}, {"bpp": bpp * 1.01}, {"psnr": psnr + 0.05}):
        assert codec.encode(samples, **met) == data
    for missed in (
        {"size": len(data) - 1},
        {"bpp": bpp * 1.1},
        {"psnr": psnr - 1},
        {"psnr": psnr + 1},
        {"bpp": float("nan")},
        {"psnr": float("inf")},
    ):
        with pytest.raises(InputError, match="has one rate, at which this picture has") as refused:
            codec.encode(samples, **missed)
        assert "\n" not in str(refused.value)


def test_bytes_are_the_estimate(codec):
    samples = picture(200, 220)
    bits, estimate = 8 * len(codec.encode(samples)), codec.estimate_bits(samples)
    assert estimate <= bits <= 1.01 * estimate + 96 * 8


# -- exactness


@pytest.mark.parametrize("runtime", [NumpyRuntime(), TorchRuntime("cpu")])
def test_layers_are_their_integer_definition(runtime):
    """Against Python's unbounded integers, inputs beyond the clamp included."""
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(0, 0.3, (4, 3, 3, 3)), rng.normal(0, 1, 4)
    weight[1] *= 1000
    weight[2] = 0
    integers = integers_of(weight, bias)
    b = Builder()
    program = b.program(out=ImportedLayer(*integers).steps(b, b.input("a", 3, -LIMIT, LIMIT)))
    a = rng.integers(-(2**24), 2**24, (1, 3, 4, 5))
    a[0, 0, 0] = [0, -1, 1, 2**40, -(2**40)]
    found = runtime.run(program, {"a": a})["out"][0]
    w = integers[0].reshape(4, 3, 3, 3).tolist()
    for o in range(4):
        for y in range(4):
            for x in range(5):
                total, shift = int(integers[1][o]), int(integers[2][o])
                for c in range(3):
                    for dy in range(3):
                        for dx in range(3):
                            if 0 <= y + dy - 1 < 4 and 0 <= x + dx - 1 < 5:
                                value = int(a[0, c, y + dy - 1, x + dx - 1])
                                total += w[o][c][dy][dx] * min(max(value, -LIMIT), LIMIT)
                total = (total + (1 << shift) // 2) >> shift
                assert found[o, y, x] == min(max(total, -LIMIT), LIMIT)
    assert integers[2][0] > integers[2][1] and np.abs(integers[0]).max() < 2**15


def test_leaky_is_its_integer_definition():
    x = [0, 1, -1, -99, -100, -101, LIMIT, -LIMIT, 12345, -12345]
    for slope in (0, 655):
        b = Builder()
        program = b.program(out=leaky(b, b.input("x", len(x), -LIMIT, LIMIT), slope))
        found = NumpyRuntime().run(program, {"x": np.array(x)[None, :, None, None]})["out"].flatten().tolist()
        assert found == [v if v >= 0 else v * slope >> 16 for v in x]


def test_phases_are_the_transposed_convolution():
    rng = np.random.default_rng(2)
    weight, a = rng.normal(size=(3, 2, 5, 5)), torch.from_numpy(rng.normal(size=(1, 3, 4, 6)))
    expected = torch.nn.functional.conv_transpose2d(a, torch.from_numpy(weight), stride=2, padding=2, output_padding=1)
    planes = torch.nn.functional.conv2d(a, torch.from_numpy(phases(weight)), padding=1)
    assert torch.allclose(torch.nn.functional.pixel_shuffle(planes, 2), expected)


def test_the_worst_weights_keep_the_bound():
    """As wide as the largest networks, all weights alike, at every magnitude: exact, or refused."""
    for size in (1e-9, 0.3, 900.0, 30000.0):
        layer, b = ImportedLayer(*integers_of(np.full((1, 480, 3, 3), size), np.zeros(1))), Builder()
        program = b.program(out=layer.steps(b, b.input("a", 480, -LIMIT, LIMIT)))
        found = TorchRuntime("cpu").run(program, {"a": np.full((1, 480, 3, 3), LIMIT)})["out"][0, 0, 1, 1]
        total, shift = int(layer.weight.sum(dtype=np.int64)) * LIMIT, int(layer.shift[0])
        assert found == min(LIMIT, (total + (1 << shift) // 2) >> shift)
    with pytest.raises(ModelError, match="too large"):
        integers_of(np.full((1, 8, 3, 3), 40000.0), np.zeros(1))
    with pytest.raises(ModelError, match="beyond what float64"):
        b, weight = Builder(), np.full((1, 9 * 1000), 32767, np.int16)
        layer = ImportedLayer(weight, np.zeros(1, np.int64), np.zeros(1, np.int16))
        b.program(out=layer.steps(b, b.input("a", 1000, -LIMIT, LIMIT)))


@pytest.fixture(scope="session")
def files(codec) -> list[bytes]:
    return [codec.encode(picture(96, 112, 3, seed)) for seed in range(3)]


@pytest.mark.parametrize("size", [(900, 100), (100, 900), (600, 500)])
def test_latents_do_not_depend_on_how_h_s_is_divided(mean, size, monkeypatch):
    data = mean.encode(picture(*size))
    whole = mean.latents(data)
    monkeypatch.setattr(imported_coding, "BAND", 1)
    monkeypatch.setattr(imported_coding, "COLUMNS", 3)
    assert same(mean.latents(data), whole)
    monkeypatch.setattr(Program, "reach", 0)
    with pytest.raises(CorruptFile):
        mean.latents(data)


def test_noise_on_every_float_changes_no_latent(codec, files, models):
    """A few ulp on the output of every float layer: what it encodes decodes elsewhere, what it decodes is the same."""
    noisy = ImageCodec(compressai_model(load_tensors(models[codec.card["network"]]), codec.card))
    generator = torch.Generator().manual_seed(0)

    def disturb(_module, _inputs, output):
        ulp = torch.randint(-4, 5, output.shape, generator=generator) * torch.finfo(torch.float32).eps
        return output * (1 + ulp)

    for network in filter(None, (noisy.transform.g_a, noisy.transform.h_a, noisy.transform.g_s)):
        for module in network.modules():
            module.register_forward_hook(disturb)
    for data in files:
        assert same(noisy.latents(data), codec.latents(data))
    for seed in range(3):
        data = noisy.encode(picture(96, 112, 3, seed))
        codec.test(data)  # the digest was taken by the noisy encoder
        assert np.abs(noisy.decode(data).astype(int) - codec.decode(data)).max() <= 1


def test_a_machine_with_wrong_sums_is_noticed(mean, monkeypatch):
    data = mean.encode(picture(96, 112))
    sums = TorchRuntime.matmul
    monkeypatch.setattr(TorchRuntime, "matmul", lambda *a: sums(*a) * 1.5)
    monkeypatch.setattr(runtime_of("cpu"), "_ready", WeakKeyDictionary())  # what is prepared has the sums already
    with pytest.raises(CorruptFile):
        mean.decode(data)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cpu_and_gpu_decode_each_other(codec, files, models):
    gpu = ImageCodec(compressai_model(load_tensors(models[codec.card["network"]]), codec.card, "cuda"))
    assert all(same(gpu.latents(d), codec.latents(d)) for d in files)
    for data in gpu.encode_batch([picture(96, 112, 3, seed) for seed in range(32)]):
        codec.test(data)


# -- damage


def test_payload_damage_with_a_right_crc_is_noticed(codec):
    data = codec.encode(picture(40, 56))
    chunk = parse(data).data[0]
    rng = np.random.default_rng(0)
    for position in rng.choice(len(chunk.payload) - 4, 40):
        changed = bytearray(chunk.payload)
        changed[position] ^= 1 << int(rng.integers(8))
        bad = data[:60] + frame(b"LDAT", chunk.digest + bytes(changed)) + frame(b"LEND", b"")
        with pytest.raises(CorruptFile):
            codec.decode(bad)
    for payload in (chunk.payload + b"\x55" * 400, chunk.payload[:-4], b"", b"abc"):
        with pytest.raises(CorruptFile):
            codec.decode(data[:60] + frame(b"LDAT", chunk.digest + payload) + frame(b"LEND", b""))


def test_models_that_do_not_fit_are_refused(models):
    for network in NETWORKS:
        tensors, card = load_tensors(models[network]), read_card(models[network]).card
        for name in tensors:
            with pytest.raises(ModelError):
                compressai_model({n: a for n, a in tensors.items() if n != name}, card)
        with pytest.raises(ModelError, match="sizes"):
            compressai_model(tensors, {**card, "transform": {"nonsense": 1}})
        for wrong in ({"activation": "tanh"}, {"features": 6.0}, {"features": 10**4}, {"latent": -1}, {"latent": "8"}):
            with pytest.raises(ModelError):
                compressai_model(tensors, {**card, "transform": {**card["transform"], **wrong}})
    hyper = parse_tensors(load_tensors(models["mbt2018-mean"]))
    assert imported_model(hyper).digest().hex() == read_card(models["mbt2018-mean"]).parse_digest


# -- around it


def test_the_command_line_imports_encodes_and_decodes(models, tmp_path, capsys, monkeypatch):
    def run(*words: object) -> int:
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        return int(end.value.code or 0)

    checkpoint = models["mbt2018-mean"].with_suffix(".pth")
    out = tmp_path / "own.safetensors"
    assert run("models", "import", "compressai:mbt2018-mean", checkpoint, "-o", out, "--name", "mine") == 0
    assert run("models", "import", "compressai:mbt2018-mean", checkpoint, "-o", out) == 1  # it exists
    assert run("models", "import", "compressai:mbt2018", checkpoint, "-o", tmp_path / "x") == 1
    assert run("models", "import", "compressai:mbt2018-mean", tmp_path / "none", "-o", tmp_path / "x") == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3 and "depend on latents already decoded" in errors[1] and "No such file" in errors[2]
    Image.fromarray(picture(40, 50)).save(tmp_path / "p.png")
    assert run("encode", tmp_path / "p.png", "--model", out, "--quiet") == 0
    assert run("encode", tmp_path / "p.png", "--model", out, "--bpp", 0.01, "-o", tmp_path / "no.lec") == 1
    assert "has one rate" in capsys.readouterr().err
    assert run("decode", tmp_path / "p.png.lec", "-o", tmp_path / "no.png") == 1  # the model is not at hand
    monkeypatch.setenv("LECODEC_MODELS", str(tmp_path))
    capsys.readouterr()
    assert run("decode", tmp_path / "p.png.lec", "-o", tmp_path / "back.png", "--quiet") == 0
    assert Image.open(tmp_path / "back.png").size == (50, 40)
    assert run("test", tmp_path / "p.png.lec", "--quiet") == 0
    assert run("info", tmp_path / "p.png.lec", "--json") == run("models", "--json") == 0
    facts, *cards = map(json.loads, capsys.readouterr().out.splitlines())
    assert facts["model"] == "mine" and "mine" in [card["name"] for card in cards]
    assert run("models") == 0 and "mine" in capsys.readouterr().out
    import lecodec.codec.pillow  # noqa: F401 - Pillow reads it as any other file

    assert Image.open(tmp_path / "p.png.lec").convert("RGB").size == (50, 40)


def test_coding_does_not_import_compressai(models, tmp_path):
    code = f"""import sys, numpy as np, lecodec
codec = lecodec.load(model={str(models["mbt2018-mean"])!r})
codec.decode(codec.encode(np.zeros((9, 9), np.uint8)))
assert not {{"compressai", "scipy", "torchvision", "torch._dynamo"}} & set(sys.modules)"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
