"use strict";

/* Bytes, below any meaning: numbers in them, checksums, and the one kind of error that a file can cause.

   CRC-32 is that of PNG and zlib, BLAKE2b that of RFC 7693 with a digest of 8 bytes and no key. Numbers of 64 bits are
   two of 32 here, high and low: plain doubles hold integers below 2^53 alone. */

/* kind: the error's name in FORMAT.md, section 7; "NotShown" for what is fine and cannot be shown here. */
class CodecError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

function refuse(kind, message) {
  throw new CodecError(kind, message);
}

const u16 = (bytes, at) => bytes[at] | (bytes[at + 1] << 8);
const u32 = (bytes, at) => (u16(bytes, at) | (u16(bytes, at + 2) << 16)) >>> 0;
const latin = (bytes) => String.fromCharCode(...bytes);
const hex = (bytes, between = "") => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(between);
const utf8 = (text) => new TextEncoder().encode(text);

/* Bytes of numbers as they lie in memory: little-endian on every machine that runs a browser today, see `decode.js`. */
const bytesOf = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

function joined(parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (let at = 0; at < bytes.length; at++) crc = CRC_TABLE[(crc ^ bytes[at]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

const BLAKE_START = Uint32Array.of(
  0x6a09e667, 0xf3bcc908, 0xbb67ae85, 0x84caa73b, 0x3c6ef372, 0xfe94f82b, 0xa54ff53a, 0x5f1d36f1,
  0x510e527f, 0xade682d1, 0x9b05688c, 0x2b3e6c1f, 0x1f83d9ab, 0xfb41bd6b, 0x5be0cd19, 0x137e2179
);
const BLAKE_ORDER = [
  "0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8", "905724afe1bc683d",
  "2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a", "6fe9b308c2d714a5", "a2847615fb9e3cd0",
  "0123456789abcdef", "ea489fd61c02b753",
].map((round) => Uint8Array.from(round, (digit) => parseInt(digit, 16)));
const BLAKE_LANES = [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
  [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]].map((lanes) => lanes.map((lane) => 2 * lane));

/* The digest of parts, as if they were one, in hexadecimal. */
function blake2b64(...parts) {
  const state = BLAKE_START.slice();
  state[1] ^= 0x01010000 ^ 8; // no key, depth 1, 8 bytes
  const block = new Uint8Array(128);
  let filled = 0, count = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; ) {
      if (filled === 128) { // a full block waits for more: the last one is compressed otherwise
        count += 128;
        blakeBlock(state, block, count, false);
        filled = 0;
      }
      const taken = Math.min(128 - filled, part.length - at);
      block.set(part.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
    }
  }
  count += filled;
  block.fill(0, filled);
  blakeBlock(state, block, count, true);
  const out = new Uint8Array(8);
  for (let n = 0; n < 4; n++) {
    out[n] = state[1] >>> (8 * n);
    out[4 + n] = state[0] >>> (8 * n);
  }
  return hex(out);
}

const blakeWork = new Uint32Array(32), blakeWords = new Uint32Array(32);

function blakeBlock(state, block, count, last) {
  const v = blakeWork, words = blakeWords;
  v.set(state);
  v.set(BLAKE_START, 16);
  v[24] ^= Math.floor(count / 2 ** 32);
  v[25] ^= count % 2 ** 32;
  if (last) {
    v[28] = ~v[28];
    v[29] = ~v[29];
  }
  for (let n = 0; n < 16; n++) {
    words[2 * n + 1] = u32(block, 8 * n);
    words[2 * n] = u32(block, 8 * n + 4);
  }
  for (let round = 0; round < 12; round++) {
    const order = BLAKE_ORDER[round];
    for (let n = 0; n < 8; n++) {
      const lanes = BLAKE_LANES[n];
      blakeMix(v, lanes[0], lanes[1], lanes[2], lanes[3], words, 2 * order[2 * n], 2 * order[2 * n + 1]);
    }
  }
  for (let n = 0; n < 16; n++) state[n] ^= v[n] ^ v[16 + n];
}

/* The mixing of four lanes with two words; each place is that of the high half, behind which is the low one. */
function blakeMix(v, a, b, c, d, words, x, y) {
  let ah = v[a], al = v[a + 1], bh = v[b], bl = v[b + 1], ch = v[c], cl = v[c + 1], dh = v[d], dl = v[d + 1];
  let sum = al + bl + words[x + 1];
  ah = (ah + bh + words[x] + Math.floor(sum / 2 ** 32)) >>> 0;
  al = sum >>> 0;
  [dh, dl] = [(dl ^ al) >>> 0, (dh ^ ah) >>> 0];
  sum = cl + dl;
  ch = (ch + dh + (sum > 0xffffffff ? 1 : 0)) >>> 0;
  cl = sum >>> 0;
  let high = bh ^ ch, low = bl ^ cl;
  bh = ((high >>> 24) | (low << 8)) >>> 0;
  bl = ((low >>> 24) | (high << 8)) >>> 0;
  sum = al + bl + words[y + 1];
  ah = (ah + bh + words[y] + Math.floor(sum / 2 ** 32)) >>> 0;
  al = sum >>> 0;
  high = dh ^ ah;
  low = dl ^ al;
  dh = ((high >>> 16) | (low << 16)) >>> 0;
  dl = ((low >>> 16) | (high << 16)) >>> 0;
  sum = cl + dl;
  ch = (ch + dh + (sum > 0xffffffff ? 1 : 0)) >>> 0;
  cl = sum >>> 0;
  high = bh ^ ch;
  low = bl ^ cl;
  v[b] = (high << 1) | (low >>> 31);
  v[b + 1] = (low << 1) | (high >>> 31);
  v[a] = ah;
  v[a + 1] = al;
  v[c] = ch;
  v[c + 1] = cl;
  v[d] = dh;
  v[d + 1] = dl;
}
