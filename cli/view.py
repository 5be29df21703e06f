"""The command `view`: a `.lec` file as one HTML page that decodes it in a browser.

    file, its model, [a picture to compare] -> page() -> one page with everything in it -> a file, the loopback address

The decoder is the JavaScript in page/, written after bitstream/FORMAT.md like the tests' reader: container, arithmetic
decoder and integer networks in plain doubles, which are exact as they are here, and the float synthesis. Its files are
put one behind the other into one script, which workers of the page run too.

Guarantees. The page asks for nothing from anywhere: its Content-Security-Policy forbids every request, and any script
but its own, whose digest stands in it. It shows what the digests in the file confirm, or says why not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import one_sentence, shown, tell
from .options import Force, Quiet
from .tasks import open_lec

if TYPE_CHECKING:
    import numpy as np

    from ..bitstream import Header

__all__ = ["SCRIPTS", "decoder", "page", "view_command"]

_FOLDER = Path(__file__).parent / "page"
SCRIPTS = (
    "bytes inflate header container coder networks model latents synthesis lzma2 blocks decode workers view"
).split()
"""The files of the script, in their order: each uses those before it."""
_NEEDED = ("parse.", "g_s.")
"""Tensors of a model that decoding takes."""
_SAID = ("name", "kind", "parse_digest", "synthesis_digest", "transform")
"""Entries of its card that the page has."""


def view_command(
    file: Annotated[str, typer.Argument(help="The .lec file of a picture; - for standard input.", metavar="FILE")],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="The page; FILE.html by default.", metavar="PAGE"),
    ] = None,
    original: Annotated[
        str | None,
        typer.Option(
            "--original", help="A picture to compare it with, by a slider; of the same size.", metavar="PICTURE"
        ),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Write nothing: show the page at an address of this machine, until Ctrl-C.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Name or file of a model; chosen by itself by default.", metavar="MODEL"),
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Make one HTML page that decodes a picture's .lec file in any browser: photo.png.lec -> photo.png.lec.html."""
    if serve and output is not None:
        raise typer.BadParameter("--serve writes nothing, -o names what is written: they exclude each other")
    if file == "-" and output is None and not serve:
        raise typer.BadParameter("of standard input the page needs a name: -o PAGE")
    name = "standard input" if file == "-" else Path(file).name
    with one_sentence(shown(file)):
        data, header = _read(file)
        tensors = _model_of(header, model)
        before = None if original is None else _original(original, header)
        whole = page(data, name, tensors, before).encode()
    if serve:
        from .serve import serve_page

        with one_sentence("--serve"):
            serve_page(whole, None if quiet else lambda address: print(address, flush=True))
        return
    where = Path(output) if output is not None else Path(f"{file}.html")
    with one_sentence(shown(file)):
        from ..bitstream import atomic_write

        with atomic_write(where, overwrite=force) as out:
            out.write(whole)
    if not quiet:
        tell(shown(file), f"-> {where}: {len(whole)} bytes")


def page(
    data: bytes,
    name: str,
    model: tuple[Mapping[str, np.ndarray], Mapping[str, Any]] | None,
    original: bytes | None = None,
) -> str:
    """The page. data: the file; name: what it is called; model: the tensors and the card of what decodes it, None where
    none is needed or the page has no use for it; original: a PNG of the same size.
    """
    import base64
    import hashlib
    import html
    from string import Template

    script = decoder()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = {
        "policy": f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; worker-src blob:; "
        f"script-src 'sha256-{digest}'",
        "name": html.escape(name),
        "style": _part("page.css"),
        "script": script,
        "file": base64.b64encode(data).decode(),
        "model": "" if model is None else base64.b64encode(_packed(*model)).decode(),
        "original": "",
    }
    if original is not None:
        source = base64.b64encode(original).decode()
        text["original"] = f'<img id="original" alt="the original" src="data:image/png;base64,{source}">'
    return Template(_part("page.html")).substitute(text)


def decoder(*names: str) -> str:
    """The script of the page, or the named files of it alone."""
    return "\n".join(_part(f"{name}.js") for name in names or SCRIPTS)


def _part(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _read(source: str) -> tuple[bytes, Header]:
    """All bytes of a file, and its header. Raises a CodecError for a header that cannot be read; what else is wrong
    the page says.
    """
    import sys

    from ..bitstream import SIGNATURE, LecFile
    from ..bitstream.layouts.picture import PictureLayout
    from ..bitstream.layouts.set import SetLayout
    from ..errors import InputError

    if source == "-":  # its first bytes decide whether there is more to read
        start = sys.stdin.buffer.read(len(SIGNATURE))
        data = start + (sys.stdin.buffer.read() if start == SIGNATURE else b"")
        header = LecFile.open(data).header
    else:
        header = open_lec(source).header
        data = Path(source).read_bytes()
    if not isinstance(header.layout, PictureLayout | SetLayout):
        raise InputError(f"a {header.layout.name}: pages show pictures")
    return data, header


def _model_of(header: Header, model: str | None) -> tuple[Mapping[str, np.ndarray], Mapping[str, Any]] | None:
    """What the page needs of the model that a file was coded with."""
    from ..codec.registry import find_by_digest, load_for, whole_model

    if header.lossless:
        return None
    load_for(header, model=model)  # which checks it: bounds of the sums, digests
    path = find_by_digest(header.parse_digest, header.synthesis_digest).path if model is None else model
    return whole_model(path)


def _packed(tensors: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> bytes:
    """A model file of what decoding takes."""
    import json

    import numpy as np
    from safetensors.numpy import save

    kept = {name: np.ascontiguousarray(array) for name, array in tensors.items() if name.startswith(_NEEDED)}
    said = {name: card[name] for name in _SAID if name in card}
    return save(kept, {"card": json.dumps(said, sort_keys=True)})


def _original(path: str, header: Header) -> bytes:
    """A picture of the size of the one in the file, as PNG of 8 bits."""
    import io

    from ..codec.media.picture import read_picture
    from ..codec.media.picture_write import fit_depth, write_picture
    from ..errors import InputError

    samples = fit_depth(read_picture(path), 8)
    said = header.as_dict()
    found, wanted = f"{samples.shape[1]} x {samples.shape[0]}", f"{said['width']} x {said['height']}"
    if found != wanted:
        raise InputError(f"the original is {found} pixels, the file {wanted}")
    out = io.BytesIO()
    write_picture(samples, out)
    return out.getvalue()
