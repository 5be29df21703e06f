"use strict";

/* zlib datastreams (RFC 1950, RFC 1951), whole ones alone: what metadata and alpha are in, and blocks of samples. */

const DEFLATE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/* Bases and further bits of lengths 257 … 285 and of distances 0 … 29. */
const DEFLATE_LENGTHS = [], DEFLATE_DISTANCES = [];
for (let n = 0, base = 3; n < 28; n++) {
  const bits = n < 8 ? 0 : (n >> 2) - 1;
  DEFLATE_LENGTHS.push([base, bits]);
  base += 2 ** bits;
}
DEFLATE_LENGTHS.push([258, 0]);
for (let n = 0, base = 1; n < 30; n++) {
  const bits = n < 4 ? 0 : (n >> 1) - 1;
  DEFLATE_DISTANCES.push([base, bits]);
  base += 2 ** bits;
}

/* Lengths of the codes of symbols -> how many codes there are of each length, and the symbols in their order. Null for
   lengths that no codes have. incomplete: whether a single symbol may leave codes over. */
function huffman(lengths, incomplete) {
  const counts = new Uint16Array(16), offsets = new Uint16Array(16), symbols = new Uint16Array(lengths.length);
  for (const length of lengths) counts[length]++;
  counts[0] = 0;
  let left = 1, used = 0;
  for (let n = 1; n < 16; n++) {
    left = 2 * left - counts[n];
    if (left < 0) return null;
    offsets[n] = used;
    used += counts[n];
  }
  if (left > 0 && !(incomplete && used <= 1)) return null;
  lengths.forEach((length, symbol) => {
    if (length) symbols[offsets[length]++] = symbol;
  });
  return { counts, symbols };
}

/* {bytes} of a datastream that ends with its source, or {error}: "damaged", "short", "long" (beyond `limit` bytes) or
   "more" (behind its end). */
function inflate(source, limit) {
  const out = new Uint8Array(Math.min(limit, 1 << 16));
  const state = { source, at: 2, bits: 0, held: 0, out, size: 0, limit };
  if (source.length < 2) return { error: "short" };
  if ((source[0] & 15) !== 8 || source[0] >> 4 > 7 || (source[0] * 256 + source[1]) % 31 || source[1] & 32) {
    return { error: "damaged" };
  }
  try {
    while (!inflateBlock(state));
  } catch (error) {
    if (typeof error !== "string") throw error;
    return { error };
  }
  const at = state.at - (state.held >> 3), found = state.out.subarray(0, state.size);
  if (at + 4 > source.length) return { error: "short" };
  let a = 1, b = 0;
  for (let n = 0; n < found.length; n++) {
    a = (a + found[n]) % 65521;
    b = (b + a) % 65521;
  }
  const sum = source.subarray(at, at + 4);
  if (sum[0] * 256 + sum[1] !== b || sum[2] * 256 + sum[3] !== a) return { error: "damaged" };
  return at + 4 === source.length ? { bytes: found } : { error: "more" };
}

/* One block of deflate; whether it was the last. Throws a word for what is wrong. */
function inflateBlock(state) {
  const last = takeBits(state, 1), type = takeBits(state, 2);
  if (type === 3) throw "damaged";
  if (type === 0) {
    state.at -= state.held >> 3;
    state.held = state.bits = 0;
    const { source, at } = state;
    if (at + 4 > source.length) throw "short";
    const length = u16(source, at);
    if ((length ^ u16(source, at + 2)) !== 0xffff) throw "damaged";
    if (at + 4 + length > source.length) throw "short";
    makeRoom(state, length);
    state.out.set(source.subarray(at + 4, at + 4 + length), state.size);
    state.size += length;
    state.at = at + 4 + length;
    return last;
  }
  const [literals, distances] = type === 1 ? fixedCodes() : readCodes(state);
  for (;;) {
    const symbol = takeSymbol(state, literals);
    if (symbol === 256) return last;
    if (symbol < 256) {
      makeRoom(state, 1);
      state.out[state.size++] = symbol;
      continue;
    }
    if (symbol > 285) throw "damaged";
    const length = DEFLATE_LENGTHS[symbol - 257][0] + takeBits(state, DEFLATE_LENGTHS[symbol - 257][1]);
    const code = takeSymbol(state, distances);
    if (code > 29) throw "damaged";
    const distance = DEFLATE_DISTANCES[code][0] + takeBits(state, DEFLATE_DISTANCES[code][1]);
    if (distance > state.size) throw "damaged";
    makeRoom(state, length);
    const out = state.out;
    for (let n = 0; n < length; n++, state.size++) out[state.size] = out[state.size - distance];
  }
}

function fixedCodes() {
  const lengths = Array.from({ length: 288 }, (_, n) => (n < 144 ? 8 : n < 256 ? 9 : n < 280 ? 7 : 8));
  return [huffman(lengths, false), huffman(new Array(32).fill(5), false)];
}

function readCodes(state) {
  const literals = takeBits(state, 5) + 257, distances = takeBits(state, 5) + 1, codes = takeBits(state, 4) + 4;
  if (literals > 286 || distances > 30) throw "damaged";
  const first = new Array(19).fill(0);
  for (let n = 0; n < codes; n++) first[DEFLATE_ORDER[n]] = takeBits(state, 3);
  const table = huffman(first, false), lengths = [];
  if (!table) throw "damaged";
  while (lengths.length < literals + distances) {
    const symbol = takeSymbol(state, table);
    if (symbol < 16) {
      lengths.push(symbol);
      continue;
    }
    if (symbol === 16 && !lengths.length) throw "damaged";
    const value = symbol === 16 ? lengths[lengths.length - 1] : 0;
    const [least, bits] = { 16: [3, 2], 17: [3, 3], 18: [11, 7] }[symbol], count = least + takeBits(state, bits);
    for (let n = 0; n < count; n++) lengths.push(value);
  }
  if (lengths.length > literals + distances || !lengths[256]) throw "damaged";
  const tables = [huffman(lengths.slice(0, literals), true), huffman(lengths.slice(literals), true)];
  if (!tables[0] || !tables[1]) throw "damaged";
  return tables;
}

function takeBits(state, count) {
  while (state.held < count) {
    if (state.at >= state.source.length) throw "short";
    state.bits |= state.source[state.at++] << state.held;
    state.held += 8;
  }
  const value = state.bits & ((1 << count) - 1);
  state.bits >>>= count;
  state.held -= count;
  return value;
}

function takeSymbol(state, { counts, symbols }) {
  let code = 0, first = 0, index = 0;
  for (let length = 1; length < 16; length++) {
    code |= takeBits(state, 1);
    if (code - counts[length] < first) return symbols[index + code - first];
    index += counts[length];
    first = (first + counts[length]) << 1;
    code <<= 1;
  }
  throw "damaged";
}

function makeRoom(state, count) {
  const needed = state.size + count;
  if (needed > state.limit) throw "long";
  if (needed <= state.out.length) return;
  const larger = new Uint8Array(Math.min(state.limit, Math.max(needed, 2 * state.out.length)));
  larger.set(state.out.subarray(0, state.size));
  state.out = larger;
}
