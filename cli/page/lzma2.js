"use strict";

/* LZMA2 streams (the xz file format, filter 0x21): the body of method 5.

   chunks of literals, matches and repeats, coded bit by bit with adaptive probabilities -> bytes

   Names are those of the format's own descriptions: lc, lp and pb are bits of context. */

/* The `size` bytes that a stream decodes to; null if it is damaged, of another size, or goes on behind them. */
function lzma2(body, size) {
  const out = new Uint8Array(size), state = { out, size: 0, coder: null };
  let at = 0, needs = "dictionary";
  try {
    for (;;) {
      const control = body[at++];
      if (control === undefined) return null;
      if (control === 0) return at === body.length && state.size === size ? out : null;
      if (control > 2 && control < 0x80) return null;
      const stored = control < 0x80, RESETS = ["", "state", "new", "dictionary"];
      const resets = RESETS[stored ? (control === 1 ? 3 : 0) : (control >> 5) & 3];
      if (needs === "dictionary" && resets !== "dictionary") return null;
      if (resets === "dictionary") state.start = state.size;
      if (stored) {
        const length = body[at] * 256 + body[at + 1] + 1;
        if (at + 2 + length > body.length || state.size + length > size) return null;
        out.set(body.subarray(at + 2, at + 2 + length), state.size);
        state.size += length;
        at += 2 + length;
        if (needs === "dictionary") needs = "new";
        continue;
      }
      const plain = ((control & 31) << 16) + body[at] * 256 + body[at + 1] + 1;
      const packed = body[at + 2] * 256 + body[at + 3] + 1;
      at += 4;
      if (resets === "new" || resets === "dictionary") {
        const properties = body[at++];
        const lc = properties % 9, lp = Math.floor(properties / 9) % 5, pb = Math.floor(properties / 45);
        if (properties === undefined || pb > 4 || lc + lp > 4) return null;
        state.coder = lzmaState(lc, lp, pb);
      } else if (needs === "new" || (needs === "state" && resets !== "state")) {
        return null;
      } else if (resets === "state") {
        state.coder = lzmaState(state.coder.lc, state.coder.lp, state.coder.pb);
      }
      needs = "";
      if (at + packed > body.length || state.size + plain > size) return null;
      if (!lzmaChunk(state, body.subarray(at, at + packed), state.size + plain)) return null;
      at += packed;
    }
  } catch (error) {
    if (error !== "damaged") throw error;
    return null;
  }
}

const half = (count) => new Uint16Array(count).fill(1024);

function lzmaLengths() {
  return { choice: half(2), low: half(16 * 8), middle: half(16 * 8), high: half(256) };
}

function lzmaState(lc, lp, pb) {
  return {
    lc, lp, pb, state: 0, repeats: [0, 0, 0, 0], literal: half(0x300 << (lc + lp)), match: half(12 * 16),
    repeat: half(12), repeat0: half(12), repeat1: half(12), repeat2: half(12), short: half(12 * 16),
    slot: half(4 * 64), special: half(128), align: half(16), lengths: lzmaLengths(), repeatLengths: lzmaLengths(),
  };
}

/* Decode one chunk up to `end` bytes of output; whether it ended as it should. */
function lzmaChunk(target, input, end) {
  const { out, coder: s } = target;
  let range = 0xffffffff, code = 0, at = 5, size = target.size;
  if (input.length < 5 || input[0] !== 0) return false;
  for (let n = 1; n < 5; n++) code = ((code << 8) | input[n]) >>> 0;

  function normalise() {
    if (range >= 2 ** 24) return;
    if (at >= input.length) throw "damaged";
    range = (range << 8) >>> 0;
    code = ((code << 8) | input[at++]) >>> 0;
  }

  function bit(table, n) {
    normalise();
    const p = table[n], bound = (range >>> 11) * p;
    if (code < bound) {
      range = bound;
      table[n] = p + ((2048 - p) >> 5);
      return 0;
    }
    range -= bound;
    code -= bound;
    table[n] = p - (p >> 5);
    return 1;
  }

  function direct(count) {
    let value = 0;
    for (let n = 0; n < count; n++) {
      normalise();
      range = Math.floor(range / 2);
      const one = code >= range ? 1 : 0;
      if (one) code -= range;
      value = value * 2 + one;
    }
    return value;
  }

  function tree(table, bits, base = 0) {
    let node = 1;
    for (let n = 0; n < bits; n++) node = 2 * node + bit(table, base + node);
    return node - 2 ** bits;
  }

  function reverse(table, bits, base) {
    let node = 1, value = 0;
    for (let n = 0; n < bits; n++) {
      const one = bit(table, base + node);
      node = 2 * node + one;
      value += one * 2 ** n;
    }
    return value;
  }

  function length(table, place) {
    if (!bit(table.choice, 0)) return 2 + tree(table.low, 3, place * 8);
    if (!bit(table.choice, 1)) return 10 + tree(table.middle, 3, place * 8);
    return 18 + tree(table.high, 8);
  }

  function literal() {
    const back = size - target.start, before = back ? out[size - 1] : 0;
    const place = back & ((1 << s.lp) - 1), base = 0x300 * ((place << s.lc) + (before >> (8 - s.lc)));
    let node = 1;
    if (s.state >= 7) {
      let matched = out[size - s.repeats[0] - 1], offset = 0x100;
      while (node < 0x100) {
        matched <<= 1;
        const seen = matched & offset, one = bit(s.literal, base + offset + seen + node);
        node = 2 * node + one;
        offset = one ? offset & seen : offset & ~seen;
      }
    } else {
      while (node < 0x100) node = 2 * node + bit(s.literal, base + node);
    }
    out[size++] = node & 255;
    s.state = s.state < 4 ? 0 : s.state < 10 ? s.state - 3 : s.state - 6;
  }

  function distance(count) {
    const slot = tree(s.slot, 6, Math.min(count - 2, 3) * 64);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1, base = (2 + (slot & 1)) * 2 ** bits;
    if (slot < 14) return base + reverse(s.special, bits, base - slot);
    const high = direct(bits - 4) * 16;
    return base + high + reverse(s.align, 4, 0);
  }

  while (size < end) {
    const place = (size - target.start) & ((1 << s.pb) - 1);
    if (!bit(s.match, s.state * 16 + place)) {
      literal();
      continue;
    }
    let count;
    if (!bit(s.repeat, s.state)) {
      count = length(s.lengths, place);
      s.repeats = [distance(count), ...s.repeats.slice(0, 3)];
      s.state = s.state < 7 ? 7 : 10;
    } else {
      if (size === target.start) throw "damaged";
      if (!bit(s.repeat0, s.state)) {
        if (!bit(s.short, s.state * 16 + place)) {
          count = 1;
          s.state = s.state < 7 ? 9 : 11;
        }
      } else {
        const which = !bit(s.repeat1, s.state) ? 1 : !bit(s.repeat2, s.state) ? 2 : 3;
        const [taken] = s.repeats.splice(which, 1);
        s.repeats.unshift(taken);
      }
      if (!count) {
        count = length(s.repeatLengths, place);
        s.state = s.state < 7 ? 8 : 11;
      }
    }
    const back = s.repeats[0] + 1;
    if (back > size - target.start || back > 2 ** 24 || size + count > end) throw "damaged";
    for (let n = 0; n < count; n++, size++) out[size] = out[size - back];
  }
  normalise();
  target.size = size;
  return at === input.length && code === 0;
}
