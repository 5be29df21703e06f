"use strict";

/* Latents of a tile: FORMAT.md, sections 9, 12 and 20.

   coded bytes -> z -> hyper-decoder -> means and tables -> y_hat, at once or in four passes with context

   All of it is integers, so that every browser finds the same ones; their digest, which stands in the file, says so. */

const PLACES = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1], [1, 0, 3, 2]]; // D of section 20

const ACTIVE = [0, 8191]; // the range of hidden activations
const NOT_AS_ENCODED = "the picture's data does not decode to what was encoded";

/* Positions of y and of z of a tile. */
function latentSizes({ width, height }) {
  const h = Math.ceil(height / 16), w = Math.ceil(width / 16);
  return { h, w, hz: Math.ceil(h / 4), wz: Math.ceil(w / 4) };
}

/* The table of each element of z, (channel, row, column). */
function tablesOfZ(model, quality, positions) {
  const first = Math.floor(((quality >> 8) * 8) / 64) * model.hyper;
  return Int16Array.from({ length: model.hyper * positions }, (_, n) => first + Math.floor(n / positions));
}

/* y_hat of a tile, Int32Array [M, h, w] in units of 1/64. chunk: its data; quality: the header's. */
function tileLatents(model, chunk, box, quality) {
  const { h, w, hz, wz } = latentSizes(box), positions = hz * wz;
  const coder = new RangeDecoder(chunk.payload);
  const z = readGroup(coder, model.tables.z, tablesOfZ(model, quality, positions));
  const turned = new Float64Array(z.length);
  for (let c = 0; c < model.hyper; c++) {
    for (let p = 0; p < positions; p++) turned[p * model.hyper + c] = z[c * positions + p];
  }
  const decoded = hyperDecoded(model, turned, hz, wz, quality);
  const yHat = model.context
    ? withContext(model, coder, decoded, { h, w, hz, wz }, quality)
    : atOnce(model, coder, decoded.last, { h, w, wz });
  if (blake2b64(bytesOf(z), bytesOf(yHat)) !== chunk.digest || !coder.exhausted) refuse("CorruptFile", NOT_AS_ENCODED);
  return yHat;
}

/* The hyper-decoder. features: the output of layer 2, at twice the size of z; last: that of layer 4, at four times. */
function hyperDecoded(model, z, hz, wz, quality) {
  const edge = 2 ** model.reach, gain = (n) => model.row(`gain.${n}`, quality);
  const usual = { from: ACTIVE, to: ACTIVE, shift: 22 };
  const run = (n, a, h, w, how) => runLayer(model.layers[`h_s.${n}`], a, h, w, { ...usual, ...how });
  let a = run(0, z, hz, wz, { from: [-255, 255], shift: 14, gain: gain(0) });
  a = spread(run(1, a, hz, wz, {}), hz, wz);
  const features = run(2, a, 2 * hz, 2 * wz, { gain: gain(1) });
  a = spread(run(3, features, 2 * hz, 2 * wz, {}), 2 * hz, 2 * wz);
  const last = run(4, a, 4 * hz, 4 * wz,
    { shift: 24, gain: gain(2), offset: model.row("offset", quality), to: [-edge, edge - 1] });
  return { features, last };
}

const tableAt = (model, t) => Math.min(Math.max(Math.floor((t + 32) / 64), 0), model.lastTable);
const codedTable = (number) => number || -1; // elements of table 0 are not coded

/* Section 9, step 3. */
function atOnce(model, coder, v, { h, w, wz }) {
  const m = model.latent, yHat = new Int32Array(m * h * w), numbers = new Int16Array(yHat.length);
  for (let c = 0, at = 0; c < m; c++) {
    for (let i = 0; i < h; i++) {
      for (let j = 0; j < w; j++, at++) {
        const place = (i * 4 * wz + j) * 2 * m + c;
        yHat[at] = v[place];
        numbers[at] = codedTable(tableAt(model, v[place + m]));
      }
    }
  }
  const s = readGroup(coder, model.tables.y, numbers);
  for (let at = 0; at < yHat.length; at++) yHat[at] += 64 * s[at];
  return yHat;
}

/* Section 20: four passes, each of which sees what those before it decoded. */
function withContext(model, coder, { features, last }, { h, w, hz, wz }, quality) {
  const m = model.latent, hb = Math.ceil(h / 2), wb = Math.ceil(w / 2), blocks = hb * wb, edge = 2 ** model.reach;
  const narrow = model.integers["context.narrow"].data, widen = model.integers["context.widen"].data;
  const wide = features.length / (4 * hz * wz), inputs = wide + 6 * m;
  const yHat = new Int32Array(m * h * w), seen = new Float64Array(blocks * inputs);
  for (let i = 0; i < hb; i++) {
    for (let j = 0; j < wb; j++) {
      const from = (i * 2 * wz + j) * wide;
      seen.set(features.subarray(from, from + wide), (i * wb + j) * inputs);
    }
  }
  for (let k = 0; k < 4; k++) {
    const change = k ? changes(model, seen, { k, hb, wb, inputs, known: wide + 2 * m * k }, quality) : null;
    const mu = new Int32Array(m * blocks), numbers = new Int16Array(m * blocks).fill(-1);
    for (let c = 0; c < m; c++) {
      const place = PLACES[k][c % 4], di = place >> 1, dj = place & 1;
      for (let p = 0; p < blocks; p++) {
        const i = 2 * Math.floor(p / wb) + di, j = 2 * (p % wb) + dj, at = (i * 4 * wz + j) * 2 * m + c;
        let mean = last[at], t = last[at + m];
        if (k) {
          const moved = Math.floor((change[p * 2 * m + c] * widen[tableAt(model, t)] + 512) / 1024);
          mean = Math.min(Math.max(mean + moved, -edge), edge - 1);
          t += change[p * 2 * m + m + c];
        }
        mu[c * blocks + p] = mean;
        if (i < h && j < w) numbers[c * blocks + p] = codedTable(tableAt(model, t));
      }
    }
    const s = readGroup(coder, model.tables.y, numbers);
    for (let c = 0; c < m; c++) {
      const place = PLACES[k][c % 4], di = place >> 1, dj = place & 1;
      for (let p = 0; p < blocks; p++) {
        const i = 2 * Math.floor(p / wb) + di, j = 2 * (p % wb) + dj, at = (i * 4 * wz + j) * 2 * m + c;
        const value = mu[c * blocks + p] + 64 * s[c * blocks + p];
        if (i < h && j < w) yHat[(c * h + i) * w + j] = value;
        const off = Math.min(Math.max(value - last[at], 1 - edge), edge - 1);
        const r = Math.floor((off * narrow[tableAt(model, last[at + m])] + 2048) / 4096);
        const clamped = Math.min(Math.max(r, -8191), 8191);
        if (k < 3) {
          seen[p * inputs + wide + 2 * m * k + c] = clamped;
          seen[p * inputs + wide + 2 * m * k + m + c] = Math.abs(clamped);
        }
      }
    }
  }
  return yHat;
}

/* What the network c_k says: [blocks, 2 M], changes of the means and of the tables. known: channels that it sees. */
function changes(model, seen, { k, hb, wb, inputs, known }, quality) {
  const count = hb * wb, given = new Float64Array(count * known), edge = 2 ** model.reach;
  for (let p = 0; p < count; p++) given.set(seen.subarray(p * inputs, p * inputs + known), p * known);
  const usual = { from: ACTIVE, to: ACTIVE, shift: 22 };
  const run = (n, a, how) => runLayer(model.layers[`context.${k}.${n}`], a, hb, wb, { ...usual, ...how });
  const a = run(0, given, { from: [-8191, 8191], gain: model.row(`context.${k}.gain`, quality) });
  const b = run(1, a, {});
  const n = a.length / count, both = new Float64Array(2 * a.length);
  for (let p = 0; p < count; p++) {
    both.set(a.subarray(p * n, p * n + n), 2 * p * n);
    both.set(b.subarray(p * n, p * n + n), (2 * p + 1) * n);
  }
  return run(2, both, { shift: 24, to: [-edge, edge - 1] });
}
