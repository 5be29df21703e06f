"use strict";

/* The model that is embedded in the page: FORMAT.md, sections 13 and 21.

   safetensors with a card -> tensors -> tables and layers of integers, weights of the synthesis, parse digest

   The page has of a model what decoding needs: the integers ("parse.…") and the synthesis ("g_s.…"). */

const TENSOR_TYPES = {
  I16: { of: Int16Array, numpy: "<i2" }, I32: { of: Int32Array, numpy: "<i4" },
  F16: { of: Uint16Array }, F32: { of: Float32Array },
};

/* name -> {shape, type, data} of a safetensors file, and its card. */
function readTensors(bytes) {
  const length = u32(bytes, 0), start = 8 + length;
  const entries = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  const card = JSON.parse(entries.__metadata__.card), tensors = {};
  delete entries.__metadata__;
  for (const [name, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(entries)) {
    const copy = bytes.slice(start + begin, start + end); // at the start of its buffer, as typed arrays want it
    const type = TENSOR_TYPES[dtype], data = new type.of(copy.buffer);
    tensors[name] = { shape, numpy: type.numpy, data, half: dtype === "F16" };
  }
  return { card, tensors };
}

/* Every number of 16 bits as a float: a sign, 5 bits of exponent, 10 of fraction. */
const HALVES = Float32Array.from({ length: 65536 }, (_, value) => {
  const exponent = (value >> 10) & 31, fraction = value & 1023;
  const size = exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24;
  return value & 0x8000 ? -size : size;
});

function halves(bits) {
  const out = new Float32Array(bits.length);
  for (let at = 0; at < bits.length; at++) out[at] = HALVES[bits[at]];
  return out;
}

/* The tensors of the entropy models that are decoded here: the hyperprior, and that with context in four passes. */
const KNOWN = RegExp([
  /^[zy]\.(counts|length|low)$/, /^(h_s|context\.[123])\.\d\.(weight|bias)$/, /^gain\.\d$/, /^offset$/, /^reach$/,
  /^context\.([123]\.gain|narrow|widen)$/,
].map((one) => one.source).join("|"));

class Model {
  constructor(bytes) {
    const { card, tensors } = readTensors(bytes);
    this.card = card;
    this.integers = {};
    this.floats = {};
    for (const [name, tensor] of Object.entries(tensors)) {
      if (name.startsWith("parse.")) this.integers[name.slice(6)] = tensor;
      if (name.startsWith("g_s.")) this.floats[name.slice(4)] = tensor;
    }
    this.known = Object.keys(this.integers).every((name) => KNOWN.test(name));
    if (!this.known) return; // of another kind: `notShown` says so
    const t = (name) => this.integers[name].data;
    this.tables = {};
    for (const level of ["z", "y"]) {
      this.tables[level] = tablesOf(t(`${level}.counts`), t(`${level}.length`), t(`${level}.low`));
    }
    this.reach = this.integers.reach ? t("reach")[0] : 15; // R of section 12
    this.lastTable = this.tables.y.length - 1;
    this.hyper = this.integers["h_s.0.weight"].shape[1] / 9; // Z
    this.latent = this.integers["h_s.4.weight"].shape[0] / 2; // M
    this.context = "context.1.0.weight" in this.integers;
  }

  /* The layers of the integer networks, by name: made when they are asked for, since not every thread does. */
  get layers() {
    if (this.made) return this.made;
    const t = (name) => this.integers[name].data, made = (this.made = {});
    const kernels = { h_s: [3, 1, 3, 1, 1], "context.1": [1, 3, 1], "context.2": [1, 3, 1], "context.3": [1, 3, 1] };
    for (const [network, each] of Object.entries(kernels)) {
      if (network !== "h_s" && !this.context) continue;
      each.forEach((kernel, n) => {
        made[`${network}.${n}`] = layerOf(t(`${network}.${n}.weight`), t(`${network}.${n}.bias`), kernel);
      });
    }
    return made;
  }

  get synthesis() {
    return (this.shown ??= new Synthesis(this));
  }

  /* How many positions of y around a part its samples depend on: one for each block at 1/16, half of one at 1/8. */
  get margin() {
    const { synthesis16, synthesis8 } = this.card.transform;
    return synthesis16 + Math.ceil(synthesis8 / 2);
  }

  /* A row of gains or offsets at the header's quality, section 12. */
  row(name, quality) {
    const { data, shape } = this.integers[name], r = Math.min(quality >> 8, 62), e = quality - 256 * r;
    return Float64Array.from({ length: shape[1] }, (_, o) =>
      Math.floor((data[r * shape[1] + o] * (256 - e) + data[(r + 1) * shape[1] + o] * e + 128) / 256));
  }

  /* The parse digest, by which a file names its model. */
  digest() {
    const edge = 2 ** this.reach;
    const order = "[[0, 1, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1], [1, 0, 3, 2]]";
    const passes = this.context ? `"context": [[1, 3, 1], ${order}, [${edge - 1}, 14, 10]], ` : "";
    const kind = this.context ? "context hyperprior 0" : "mean-scale hyperprior 0";
    const parts = [utf8(
      `{"activation": [8, 8191], "banks": 8, ${passes}"gain": [10, 16383], "kernels": [3, 1, 3, 1, 1], ` +
      `"mean": [6, ${-edge}, ${edge - 1}], "model": "${kind}", "weight": 12, "z": [-255, 255]}`)];
    for (const name of Object.keys(this.integers).sort()) {
      const { numpy, shape, data } = this.integers[name];
      const said = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
      parts.push(utf8(`\n${name} ${numpy} ${said}\n`), bytesOf(data));
    }
    return blake2b64(...parts);
  }
}
