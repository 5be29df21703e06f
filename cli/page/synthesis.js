"use strict";

/* The synthesis: latents -> samples, a float network at 1/16 and 1/8 of the picture's size (codec/transforms/image.py).

   y_hat -> gains -> gated blocks -> pixel shuffle -> gains -> gated blocks -> 8 x 8 pixels of each position

   Planes are positions x channels, Float32Array, as in networks.js. Samples may differ from those of the command by a
   rounding: this is the one part of a decoder that is not exact, and nothing depends on it. */

const FEATURES = 16; // features between blocks stay within +- this

class Synthesis {
  constructor(model) {
    const { transform } = model.card, weights = model.floats;
    this.config = transform;
    const data = (name) => (weights[name].half ? halves(weights[name].data) : weights[name].data);
    const matrix = (name) => matrixOf(data(`${name}.weight`), data(`${name}.bias`), weights[`${name}.weight`].shape[1]);
    const gains = (name) => ({ data: data(name), shape: weights[name].shape });
    this.gains = { y: gains("gain_y.value"), eight: gains("gain8.value") };
    this.stem = matrix("stem");
    this.up = matrix("up");
    this.head = matrix("head");
    this.linear = transform.linear ? matrix("linear") : null;
    const chain = (name, count) => Array.from({ length: count }, (_, n) => ({
      enter: matrix(`${name}.${n}.project_in`), leave: matrix(`${name}.${n}.project_out`),
      kernel: data(`${name}.${n}.depthwise.weight`), bias: data(`${name}.${n}.depthwise.bias`),
    }));
    this.blocks16 = chain("blocks16", transform.synthesis16);
    this.blocks8 = chain("blocks8", transform.synthesis8);
  }

  /* yHat: [M, h, w] -> samples [16 h, 16 w, channels] as numbers from 0 to 2^depth - 1. */
  run(yHat, h, w, { quality, channels, bit_depth: depth }) {
    const m = this.stem.inputs, count = h * w, gain = exponentials(this.gains.y, quality);
    let x = new Float32Array(count * m);
    for (let c = 0; c < m; c++) {
      for (let p = 0; p < count; p++) x[p * m + c] = (yHat[c * count + p] * gain[c]) / 64;
    }
    const beside = this.linear && applied(this.linear, x, count);
    x = applied(this.stem, x, count);
    clampAll(x);
    for (const block of this.blocks16) x = gated(block, x, h, w);
    x = spread(applied(this.up, x, count), h, w);
    const gain8 = exponentials(this.gains.eight, quality), wide = gain8.length;
    for (let at = 0, c = 0; at < x.length; at++, c = c + 1 === wide ? 0 : c + 1) x[at] *= gain8[c];
    clampAll(x);
    for (const block of this.blocks8) x = gated(block, x, 2 * h, 2 * w);
    return this.pixels(applied(this.head, x, 4 * count), beside, h, w, channels, 2 ** depth - 1);
  }

  /* What head and linear path give, [4 h w, 64 colours] and [h w, 256 colours], as samples. */
  pixels(shown, beside, h, w, channels, peak) {
    const colours = this.config.channels, width = 16 * w, value = new Float64Array(colours);
    const out = new (peak > 255 ? Uint16Array : Uint8Array)(16 * h * width * channels);
    for (let i = 0; i < 2 * h; i++) {
      for (let j = 0; j < 2 * w; j++) {
        const from = (i * 2 * w + j) * 64 * colours;
        const other = ((i >> 1) * w + (j >> 1)) * 256 * colours + 2 * (i & 1) + (j & 1);
        for (let place = 0; place < 64; place++) {
          for (let c = 0; c < colours; c++) {
            value[c] = shown[from + 64 * c + place] + (beside ? beside[other + 4 * (64 * c + place)] : 0);
          }
          if (channels === 1) value[0] = value.reduce((a, b) => a + b) / colours;
          const into = ((8 * i + (place >> 3)) * width + 8 * j + (place & 7)) * channels;
          for (let c = 0; c < channels; c++) {
            out[into + c] = Math.min(Math.max(Math.round((value[c] + 0.5) * peak), 0), peak);
          }
        }
      }
    }
    return out;
  }
}

/* exp of a table of gains, [knots, channels], at a quality. */
function exponentials({ data, shape: [knots, channels] }, quality) {
  const position = ((quality / 256) * (knots - 1)) / 63, below = Math.min(Math.floor(position), knots - 2);
  return Float64Array.from({ length: channels }, (_, c) => {
    const low = data[below * channels + c], high = data[(below + 1) * channels + c];
    return Math.exp(low + (position - below) * (high - low));
  });
}

function applied(matrix, x, count) {
  const out = new Float32Array(count * matrix.outputs);
  product(matrix, x, count, out);
  return out;
}

function clampAll(x) {
  for (let at = 0; at < x.length; at++) {
    if (x[at] > FEATURES) x[at] = FEATURES;
    else if (x[at] < -FEATURES) x[at] = -FEATURES;
  }
}

const STRIP = 16; // rows of a block that are worked on at a time

/* x + W_o (DW3x3(a) silu(b)), with [a, b] = W_i x; beyond the borders a is 0. */
function gated({ enter, leave, kernel, bias }, x, h, w) {
  const n = leave.inputs, out = new Float32Array(x.length), inner = new Float32Array(STRIP * w * n);
  const left = new Float32Array(STRIP * w * n);
  const both = new Float32Array((STRIP + 2) * w * 2 * n), sums = new Float64Array(n);
  const taps = Float64Array.from({ length: 9 * n }, (_, at) => kernel[(at % n) * 9 + Math.floor(at / n)]);
  for (let top = 0; top < h; top += STRIP) {
    const rows = Math.min(STRIP, h - top), begin = Math.max(top - 1, 0), end = Math.min(top + rows + 1, h);
    product(enter, x.subarray(begin * w * n, end * w * n), (end - begin) * w, both);
    for (let row = top; row < top + rows; row++) {
      for (let column = 0; column < w; column++) {
        sums.set(bias);
        for (let tap = 0; tap < 9; tap++) {
          const i = row + Math.floor(tap / 3) - 1, j = column + (tap % 3) - 1;
          if (i < 0 || i >= h || j < 0 || j >= w) continue;
          const a = ((i - begin) * w + j) * 2 * n, k = tap * n;
          for (let c = 0; c < n; c++) sums[c] += taps[k + c] * both[a + c];
        }
        const b = ((row - begin) * w + column) * 2 * n + n, into = ((row - top) * w + column) * n;
        for (let c = 0; c < n; c++) inner[into + c] = (sums[c] * both[b + c]) / (1 + Math.exp(-both[b + c]));
      }
    }
    product(leave, inner, rows * w, left);
    for (let at = 0, to = top * w * n; at < rows * w * n; at++, to++) out[to] = left[at] + x[to];
  }
  clampAll(out);
  return out;
}
