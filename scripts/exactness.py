"""Whether files decode to the same latents everywhere: in numpy, torch and a browser's JavaScript, with other numbers
of threads, instruction sets and batches.

    python scripts/exactness.py [-o eval/results/exactness.tsv] [--pictures 16]

Crops of the photographs that scikit-image brings are coded by each model, once in numpy and once in torch, with and
without tiles. Then every row of the table is a process of its own, with what it says in its environment: it decodes all
files, one by one and in batches, and compares the latents of each with the digest in it. A case is a file decoded once.
JavaScript is the decoder of `lecodec view` in node, where that is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

MODELS = ("eye-1", "image-3", "machine-2")
SIZE = 72, 88
"""Rows and columns of a crop: neither a multiple of 16."""

ENCODE = """
import json, sys
from pathlib import Path
import numpy as np
import lecodec
crops, into = np.load(sys.argv[1]), Path(sys.argv[2])
for model in sys.argv[3].split(","):
    codec = lecodec.load(model=model)
    for n, crop in enumerate(crops):
        data = codec.encode(crop, quality=1 + 99 * n / max(len(crops) - 1, 1), tile=64 * (n % 2))
        (into / f"{sys.argv[4]}-{n}.{model}.lec").write_bytes(data)
"""

DECODE = """
import json, sys
from pathlib import Path
import lecodec
from lecodec.codec.image import ImageCodec
cases = wrong = 0
names = json.loads(sys.argv[1])
for model, paths in names.items():
    codec = lecodec.load(model=model, of=ImageCodec)
    files = [codec._parse(Path(path).read_bytes()) for path in paths]
    for batch in map(int, sys.argv[2].split(",")):
        for first in range(0, len(files), batch):
            some = files[first : first + batch]
            cases += len(some)
            try:
                for _ in codec._read([f.header for f in some], [dict(enumerate(f.data)) for f in some]):
                    pass  # which compares the digests
            except lecodec.CorruptFile:
                wrong += len(some)
print(json.dumps([cases, wrong]))
"""

JAVASCRIPT = """
const fs = require("fs");
(async () => {
  let cases = 0, wrong = 0;
  for (const [model, paths] of JSON.parse(process.argv[2])) {
    const known = new Model(new Uint8Array(fs.readFileSync(model)));
    for (const path of paths) {
      const { header, data } = readFile(new Uint8Array(fs.readFileSync(path)));
      cases++;
      try {
        data.forEach((chunk, n) => tileLatents(known, chunk, header.boxes[n], header.quality));
      } catch (error) {
        if (error.kind !== "CorruptFile") throw error;
        wrong++;
      }
    }
  }
  console.log(JSON.stringify([cases, wrong]));
})();
"""


def environments() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Runtime, what is said of it, variables."""
    for runtime in ("numpy", "torch"):
        for count in range(1, 5):
            threads = {name: str(count) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
            yield runtime, f"{count} thread{'s' * (count > 1)}", threads
    for name in ("Prescott", "Nehalem", "Sandybridge", "Haswell"):
        yield "numpy", f"OPENBLAS_CORETYPE={name}", {"OPENBLAS_CORETYPE": name}
    yield "numpy", "NPY_DISABLE_CPU_FEATURES=AVX2", {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F"}
    for name in ("default", "avx2"):
        yield "torch", f"ATEN_CPU_CAPABILITY={name}", {"ATEN_CPU_CAPABILITY": name}
    for name in ("SSE41", "AVX", "AVX2"):
        yield "torch", f"ONEDNN_MAX_CPU_ISA={name}", {"ONEDNN_MAX_CPU_ISA": name}


def ran(runtime: str, extra: dict[str, str], code: str, *arguments: str) -> str:
    """What a program prints."""
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "LECODEC_RUNTIME": runtime, **extra}
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{extra}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def crops(count: int) -> object:
    """uint8 [count, *SIZE, 3], spread over the photographs."""
    import numpy as np
    import skimage.data

    photographs = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea()]
    found, (height, width) = [], SIZE
    for n in range(count):
        photograph = photographs[n % 3]
        top, left = ((photograph.shape[k] - SIZE[k]) * (7 * n % count) // max(count - 1, 1) for k in (0, 1))
        found.append(photograph[top : top + height, left : left + width])
    return np.stack(found)


def in_node(folder: Path, names: dict[str, list[str]]) -> tuple[int, int] | None:
    """Cases and mismatches of the page's decoder; None without node."""
    from lecodec.cli.view import SCRIPTS, decoder
    from lecodec.codec.registry import find_model

    node = os.environ.get("LECODEC_NODE") or shutil.which("node")
    if node is None:
        return None
    program = folder / "program.js"
    program.write_text(decoder(*SCRIPTS[: SCRIPTS.index("workers")]) + JAVASCRIPT)
    asked = json.dumps([[str(find_model(model).path), paths] for model, paths in names.items()])
    told = subprocess.run([node, program, asked], check=True, capture_output=True, text=True).stdout
    cases, wrong = json.loads(told)
    return cases, wrong


def main() -> None:
    import numpy as np

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("eval/results/exactness.tsv"))
    parser.add_argument("--pictures", type=int, default=16)
    asked = parser.parse_args()
    lines = ["runtime\tset to\tbatch\tcases\tmismatches"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "crops.npy", crops(asked.pictures))  # pyright: ignore
        for runtime in ("numpy", "torch"):
            ran(runtime, {}, ENCODE, str(folder / "crops.npy"), name, ",".join(MODELS), runtime)
        names = {model: sorted(map(str, folder.glob(f"*.{model}.lec"))) for model in MODELS}
        for runtime, text, extra in environments():
            cases, wrong = json.loads(ran(runtime, extra, DECODE, json.dumps(names), "1,32"))
            lines.append(f"{runtime}\t{text}\t1 and 32\t{cases}\t{wrong}")
            print(lines[-1], file=sys.stderr, flush=True)
        found = in_node(folder, names)
        lines.append(f"javascript\tnode\t1\t{found[0]}\t{found[1]}" if found else "javascript\tno node\t\t0\t0")
    asked.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(asked.output.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
