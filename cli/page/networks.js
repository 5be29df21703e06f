"use strict";

/* Products of matrices, and the layers of integers that are made of them: FORMAT.md, section 12.

   Planes are positions x channels here: the channels of a position lie together. Everything is a plain double. Sums of
   integers stay below 2^51 (the model was checked for it when the page was made), so they are exact in any order; those
   of the synthesis are as good as a float network needs. */

/* A matrix of weights for `product`: outputs x inputs and a bias each, an even number of outputs. */
function matrixOf(weight, bias, inputs) {
  const outputs = bias.length, even = outputs + (outputs % 2);
  const matrix = { inputs, outputs, weight: new Float64Array(even * inputs), bias: new Float64Array(even) };
  matrix.weight.set(weight);
  matrix.bias.set(bias);
  return matrix;
}

const TOGETHER = 64; // positions whose inputs stay in the cache
let scratch = new Float64Array(0);

/* x [count, inputs] -> out [count, outputs], at position `first` of out. Two outputs of four positions at a time: each
   number that is fetched is used often. */
function product({ inputs, outputs, weight, bias }, x, count, out, first = 0) {
  if (scratch.length < TOGETHER * inputs) scratch = new Float64Array(TOGETHER * inputs);
  const s = scratch;
  for (let begin = 0; begin < count; begin += TOGETHER) {
    const here = Math.min(TOGETHER, count - begin);
    s.set(x.subarray(begin * inputs, (begin + here) * inputs));
    s.fill(0, here * inputs, Math.min(here + 3, TOGETHER) * inputs);
    for (let o = 0; o < outputs; o += 2) {
      const w = o * inputs, v = w + inputs, biasA = bias[o], biasB = bias[o + 1];
      for (let p = 0; p < here; p += 4) {
        const p0 = p * inputs, p1 = p0 + inputs, p2 = p1 + inputs, p3 = p2 + inputs;
        let a0 = biasA, a1 = biasA, a2 = biasA, a3 = biasA, b0 = biasB, b1 = biasB, b2 = biasB, b3 = biasB;
        for (let i = 0; i < inputs; i++) {
          const wa = weight[w + i], wb = weight[v + i], x0 = s[p0 + i], x1 = s[p1 + i], x2 = s[p2 + i], x3 = s[p3 + i];
          a0 += wa * x0;
          a1 += wa * x1;
          a2 += wa * x2;
          a3 += wa * x3;
          b0 += wb * x0;
          b1 += wb * x1;
          b2 += wb * x2;
          b3 += wb * x3;
        }
        const into = (first + begin + p) * outputs + o, left = here - p, both = o + 1 < outputs;
        out[into] = a0;
        if (left > 1) out[into + outputs] = a1;
        if (left > 2) out[into + 2 * outputs] = a2;
        if (left > 3) out[into + 3 * outputs] = a3;
        if (both) {
          out[into + 1] = b0;
          if (left > 1) out[into + outputs + 1] = b1;
          if (left > 2) out[into + 2 * outputs + 1] = b2;
          if (left > 3) out[into + 3 * outputs + 1] = b3;
        }
      }
    }
  }
}

/* What a layer of integers needs. weight: (out, in kernel kernel) as in a model file. */
function layerOf(weight, bias, kernel) {
  const inputs = weight.length / bias.length;
  if (kernel === 1) return { kernel, matrix: matrixOf(weight, bias, inputs) };
  const channels = inputs / 9, turned = new Float64Array(weight.length);
  for (let o = 0, from = 0; o < bias.length; o++) {
    for (let c = 0; c < channels; c++) {
      for (let tap = 0; tap < 9; tap++) turned[o * inputs + tap * channels + c] = weight[from++];
    }
  }
  return { kernel, matrix: matrixOf(turned, bias, inputs) };
}

/* a [height width, channels] -> out [height width, outputs] of a layer. gain, offset: a number for each output, or null
   for 1024 and 0. */
function runLayer({ kernel, matrix }, a, height, width, { from, to, shift, gain = null, offset = null }) {
  const count = height * width, outputs = matrix.outputs, out = new Float64Array(count * outputs);
  const clamped = a.map((value) => Math.min(Math.max(value, from[0]), from[1]));
  if (kernel === 1) {
    product(matrix, clamped, count, out);
  } else {
    const channels = matrix.inputs / 9, seen = new Float64Array(width * matrix.inputs);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        for (let tap = 0; tap < 9; tap++) { // borders are replicated
          const i = Math.min(Math.max(row + Math.floor(tap / 3) - 1, 0), height - 1);
          const j = Math.min(Math.max(column + (tap % 3) - 1, 0), width - 1);
          const place = (i * width + j) * channels;
          seen.set(clamped.subarray(place, place + channels), (9 * column + tap) * channels);
        }
      }
      product(matrix, seen, width, out, row * width);
    }
  }
  // (S g + 2^(shift - 1)) >> shift, which without gains is the same with ten bits less of each.
  const bits = gain ? shift : shift - 10, unit = 2 ** bits, half = unit / 2;
  for (let at = 0, o = 0; at < out.length; at++) {
    const sum = gain ? out[at] * gain[o] : out[at];
    const value = Math.floor((sum + half) / unit) + (offset ? offset[o] : 0);
    out[at] = Math.min(Math.max(value, to[0]), to[1]);
    o = o + 1 === outputs ? 0 : o + 1;
  }
  return out;
}

/* Pixel shuffle 2: [h w, 4 C] -> [2 h 2 w, C]. */
function spread(a, height, width) {
  const channels = a.length / (height * width * 4), out = new a.constructor(a.length);
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      const from = (i * width + j) * 4 * channels;
      for (let place = 0; place < 4; place++) {
        const into = ((2 * i + (place >> 1)) * 2 * width + 2 * j + (place & 1)) * channels;
        for (let c = 0; c < channels; c++) out[into + c] = a[from + 4 * c + place];
      }
    }
  }
  return out;
}
