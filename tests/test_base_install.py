"""What `pip install lecodec` brings is enough to encode and decode: nothing else can be imported here.

In a process in which importing torch, FFmpeg and what else comes with extras fails, everything is done that needs none
of them; and what needs one says so in a sentence that names the extra.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import lecodec

ROOT = Path(lecodec.__file__).parent
GOLDEN = ROOT / "tests" / "golden"
BASE = {"numpy", "constriction", "pillow", "safetensors", "typer", "rich", "threadpoolctl"}

SCRIPT = '''
import sys

class Absent:
    """Finds no package that only extras bring."""

    names = set({absent!r})

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in cls.names:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None

sys.meta_path.insert(0, Absent)
'''
ABSENT = (
    "torch torchvision torchaudio av lightning tensorboard yaml scipy skimage matplotlib onnxruntime "
    "compressai jinja2 zstandard ssimulacra2 torchmetrics pytorch_msssim PIL.JpegXL soundfile sympy"
).split()

WORK = (
    SCRIPT
    + """
import io, json
from pathlib import Path
import numpy as np
from PIL import Image
import lecodec
from lecodec.codec.media.picture import read_picture
from lecodec.codec.media.picture_write import write_picture
from lecodec.codec.registry import load

out, golden = Path({out!r}), Path({golden!r})
y, x = np.mgrid[:80, :112]
picture = np.stack([2 * x, 2 * y, x + y], 2) + np.random.default_rng(0).integers(0, 9, (80, 112, 1))
picture = picture.astype(np.uint8)
done = []

def refused(call):
    try:
        call()
    except lecodec.CodecError as error:
        return str(error)
    raise AssertionError("not refused")

# Pictures, with the default model: Python, regions, targets, Pillow.
data = lecodec.encode(picture)
back = lecodec.decode(data)
assert back.shape == picture.shape and np.abs(back.astype(int) - picture).mean() < 4
assert np.array_equal(lecodec.decode(data, region=(8, 4, 20, 16)).shape, (16, 20, 3))
assert len(lecodec.encode(picture, bpp=0.6)) and lecodec.info(data)["model"] == "eye-1"
codec = lecodec.load("image")
codec.test(data)
Image.fromarray(picture).save(out / "p.lec", quality=70)
with Image.open(out / "p.lec") as image:
    assert image.size == (112, 80) and np.asarray(image).shape == (80, 112, 3)
done += ["pictures"]

# Without loss, of 8 and 16 bits, through PNG and TIFF.
for depth, samples in ((8, picture), (16, picture.astype(np.uint16) * 257 + x[..., None].astype(np.uint16))):
    for channels in (1, 3, 4):
        some = samples[..., 0] if channels == 1 else np.dstack([samples, samples[..., :1]])[..., :channels]
        for suffix in (".png", ".tiff"):
            path = out / f"{{depth}}{{channels}}{{suffix}}"
            write_picture(some, path)
            assert np.array_equal(read_picture(path), some), path
    assert np.array_equal(lecodec.decode(lecodec.encode(samples, lossless=True)), samples)
items = np.load(golden / "model-circuit.npy")[:5]
assert np.array_equal(lecodec.decode(lecodec.encode_set(items, model=golden / "tiny-circuit.safetensors")), items)
done += ["lossless", "sets"]

# Videos and sounds.
clip = np.stack([picture[:16, n : n + 32] for n in range(3)])
video = load(model=golden / "tiny-video.safetensors")
(out / "v.lec").write_bytes(video.encode(clip))
assert video.decode((out / "v.lec").read_bytes()).shape == clip.shape
sound = load(model=golden / "tiny-sound.safetensors")
tone = np.sin(np.arange(900) / 9).astype(np.float32) / 2
(out / "s.lec").write_bytes(sound.encode(tone, 2000))
assert sound.decode((out / "s.lec").read_bytes()).shape == (900, 1)
done += ["videos", "sounds"]

# What extras bring.
said = {{
    "torch": [
        refused(lambda: lecodec.encode(picture, effort=3)),
        refused(lambda: lecodec.encode(picture, device="cuda")),
        refused(lambda: codec.decode_tensor(data)),
        refused(lambda: lecodec.LecDataset),
        refused(lambda: lecodec.load(model=golden / "compressai" / "mean.safetensors")),
    ],
}}
print(json.dumps([done, said]))
"""
)

COMMANDS = (
    SCRIPT
    + """
import contextlib, io, json
from lecodec.cli.main import main

told = []
for arguments in json.loads(sys.argv[1]):
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as exit:
            code = exit.code
    told.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(told))
"""
)


def environment(**more: str) -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if k != "LECODEC_RUNTIME"}, "OMP_NUM_THREADS": "1", **more}


def commands(folder: Path, *each: str) -> list[tuple[int, str, str]]:
    """Command lines, one after the other, in such a process: exit code, stdout, stderr of each."""
    ran = subprocess.run(
        [sys.executable, "-c", COMMANDS.format(absent=ABSENT), json.dumps([line.split() for line in each])],
        cwd=folder,
        env=environment(LECODEC_MODELS=str(GOLDEN)),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return [tuple(one) for one in json.loads(ran.stdout)]


def test_the_base_asks_for_no_more_than_this() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {re.split(r"[<>=\[ ]", line)[0] for line in project["dependencies"]}
    assert asked == BASE
    for extra in ("train", "eval", "machine"):  # of which `make test` installs all
        names = {re.split(r"[<>=\[ ]", line)[0] for line in project["optional-dependencies"][extra]}
        assert {"torch", "av"} <= names


def test_python_without_what_extras_bring(tmp_path: Path) -> None:
    script = WORK.format(absent=ABSENT, out=str(tmp_path), golden=str(GOLDEN))
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(LECODEC_MODELS=str(GOLDEN)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    done, said = json.loads(ran.stdout)
    assert done == ["pictures", "lossless", "sets", "videos", "sounds"]
    for extra, sentences in said.items():
        for sentence in sentences:
            assert f"pip install 'lecodec[{extra}]'" in sentence and "\n" not in sentence
    assert [sentence.partition(" needs")[0] for sentence in said["torch"]] == [
        "effort above 1",
        "device 'cuda'",
        "decode_tensor",
        "LecDataset",
        "a model of the kind 'compressai'",
    ]


def test_the_command_without_what_extras_bring(tmp_path: Path, picture) -> None:
    from PIL import Image

    Image.fromarray(picture).save(tmp_path / "p.png")
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(64))
    (tmp_path / "a.flac").write_bytes(b"fLaC" + bytes(64))
    *good, told, effort, video, sound = commands(
        tmp_path,
        "encode p.png --json",
        "test p.png.lec",
        "decode p.png.lec -o back.png",
        "info p.png.lec --json",
        "encode p.png --effort 2 -f",
        "encode a.mp4",
        "encode a.flac",
    )
    assert [code for code, _, _ in good] == [0, 0, 0]
    with Image.open(tmp_path / "back.png") as image:
        assert image.size == (70, 50)
    assert told[0] == 0 and json.loads(told[1])["width"] == 70
    for (code, _, said), sentence in (
        (effort, "effort above 1 needs torch: pip install 'lecodec[torch]'"),
        (video, "reading a video needs av: pip install 'lecodec[video]'"),
        (sound, "reading a sound needs av: pip install 'lecodec[audio]'"),
    ):
        assert code == 1 and sentence in said and said.count("\n") == 1


def test_videos_and_sounds_decode_to_plain_files(tmp_path: Path) -> None:
    import av
    import numpy as np

    from lecodec.codec.registry import load

    frames = np.full((3, 16, 32, 3), (200, 80, 40), np.uint8)
    (tmp_path / "v.lec").write_bytes(load(model=GOLDEN / "tiny-video.safetensors").encode(frames))
    tone = np.sin(np.arange(900) / 9).astype(np.float32) / 2
    (tmp_path / "s.lec").write_bytes(load(model=GOLDEN / "tiny-sound.safetensors").encode(tone, 2000))
    *good, video, sound = commands(
        tmp_path,
        "decode v.lec -o v.y4m",
        "decode v.lec -o v.rgb",
        "decode s.lec -o s.wav",
        "decode v.lec -o v.mp4",
        "decode s.lec -o s.opus",
    )
    assert [code for code, _, _ in good] == [0, 0, 0]
    found, plain = (tmp_path / "v.y4m").read_bytes(), (tmp_path / "v.rgb").read_bytes()
    assert found.startswith(b"YUV4MPEG2 W32 H16 F25:1 Ip A1:1 C") and found.count(b"FRAME\n") == 3
    wave = (tmp_path / "s.wav").read_bytes()
    assert wave[:4] == b"RIFF" and len(wave) >= 900 * 2 + 44
    with av.open(str(tmp_path / "v.y4m")) as container:  # what FFmpeg reads is what went in, but for rounding
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert np.abs(shown.astype(int) - np.frombuffer(plain, np.uint8).reshape(frames.shape)).max() <= 4
    assert video[0] == 1 and "needs av: pip install 'lecodec[video]'" in video[2]
    assert sound[0] == 1 and "needs av: pip install 'lecodec[audio]'" in sound[2]
    assert not (tmp_path / "v.mp4").exists() and not (tmp_path / "s.opus").exists()
