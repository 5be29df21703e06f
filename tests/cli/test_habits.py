"""What users of zstd, FFmpeg and cjxl type is refused with what it is called here, and does nothing else."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image

import lecodec
from lecodec.cli.main import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    return exit.value.code or 0  # pyright: ignore


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """With a picture and its file."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save("x.png")
    (tmp_path / "x.png.lec").write_bytes(lecodec.LosslessCodec().encode(np.zeros((4, 4), np.uint8)))
    return tmp_path


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x.png", "No such command 'x.png': try lecodec encode x.png"),
        ("x.png.lec", "try lecodec decode x.png.lec"),
        ("compress x.png", "try lecodec encode FILE"),
        ("-d x.png.lec", "try lecodec decode FILE.lec"),
        ("--list x.png.lec", "try lecodec info FILE.lec"),
        ("-V", "try lecodec --version"),
        ("zoo", "try lecodec models"),
        ("encode --rm x.png", "'--rm': inputs are never removed"),
        ("encode -k x.png", "'-k': inputs are always kept"),
        ("encode -T0 x.png", "'-T': -j N works on N files at a time"),
        ("encode -9 x.png", "'-9': --effort 1 to 9"),
        ("encode -i x.png", "'-i': inputs are named without an option"),
        ("decode -y x.png.lec", "'-y': -f overwrites"),
        ("encode x.png out.lec", "out.lec does not exist; -o out.lec names an output"),
        ("decode x.png.lec out.png", "out.png does not exist; -o out.png names an output"),
        ("encode x.png -o y.jpg", "-o y.jpg: what is written is a .lec file; end its name with .lec"),
        ("decod x.png.lec", "Did you mean"),
        ("models list", "No such command 'list'."),
    ],
)
def test_habits_are_answered(folder, capsys, line, said):
    before = sorted(os.listdir())
    assert run(*line.split()) == 2
    text = capsys.readouterr().err.splitlines()[-1]
    assert said in text and text.count("Did you mean") <= 1
    assert sorted(os.listdir()) == before


def test_decoding_what_is_no_lec_file_says_so(folder, capsys):
    """It said that the output was the input itself."""
    assert run("decode", "x.png") == 1
    assert "x.png: byte 0: not a .lec file" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_no_output(folder, capsys):
    assert run("encode", "x.png", "y.png", "--lossless", "-f") == 1
    assert "y.png: No such file or directory" in capsys.readouterr().err


class Endless(io.RawIOBase):
    """Zero bytes, as /dev/zero has them, up to what is too much."""

    def __init__(self) -> None:
        self.given = 0

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        assert 0 <= count <= 1 << 20, "read whole"
        self.given += count
        return bytes(count)


@pytest.mark.parametrize("line", ["encode -", "encode --set -", "decode -", "test -", "info -", "view - -o a.html"])
def test_an_endless_input_is_refused_after_a_few_bytes(folder, capsys, monkeypatch, line):
    endless = Endless()
    monkeypatch.setattr("sys.stdin", type("In", (), {"buffer": endless, "isatty": lambda self: False})())
    assert run(*line.split()) == 1
    assert capsys.readouterr().err.count("lecodec: -: ") == 1 and endless.given < 1 << 21


def test_an_endless_list_of_names_is_refused(folder, capsys, monkeypatch):
    monkeypatch.setattr("lecodec.cli.paths.MAX_LIST", 1000)
    monkeypatch.setattr("sys.stdin", type("In", (), {"buffer": Endless()})())
    assert run("encode", "--files-from", "-", "-o", "out/") == 2
    assert "is longer than 1000 bytes" in capsys.readouterr().err


def test_a_lec_file_is_not_encoded_again(folder, capsys):
    """It was no picture of a kind that can be read."""
    assert run("encode", "x.png.lec") == 1
    assert "x.png.lec: is a .lec file already: lecodec decode" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "dtype", "said"), [((4, 4, 3), "f4", "(255 * x).round()"), ((3, 4, 5), "u1", "channels come last")]
)
def test_tensors_of_other_libraries_are_refused_with_what_to_do(shape, dtype, said):
    with pytest.raises(lecodec.InputError) as error:
        lecodec.encode(np.zeros(shape, dtype))
    assert said in str(error.value)


def test_a_tensor_is_refused_with_what_to_do():
    torch = pytest.importorskip("torch")
    with pytest.raises(lecodec.InputError, match="not Tensor: x.permute"):
        lecodec.encode(torch.zeros(3, 4, 5, dtype=torch.uint8))


def test_a_model_of_sounds_is_not_said_to_code_without_loss():
    with pytest.raises(lecodec.CodecError, match="of the kind sound, not image"):
        lecodec.encode(np.zeros((4, 4), np.uint8), model="sound")
