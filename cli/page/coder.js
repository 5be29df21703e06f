"use strict";

/* The arithmetic decoder and the integer tables that drive it: FORMAT.md, sections 10 and 11.

   bytes, table numbers -> RangeDecoder -> values

   The decoder keeps `distance`, the point that the data names less the lower end of the interval, and `range`, each as
   two numbers of 32 bits. range >> 24, the scale, is below 2^40 and a plain double. */

class RangeDecoder {
  constructor(data) {
    if (data.length % 4) refuse("CorruptFile", `coded data is ${data.length} bytes long, not a multiple of 4`);
    this.data = data;
    this.at = 0;
    this.rangeHigh = this.rangeLow = 0xffffffff;
    this.distanceHigh = this.word();
    this.distanceLow = this.word();
  }

  word() { // behind the end of the data there are zeros
    this.at += 4;
    return this.at <= this.data.length ? u32(this.data, this.at - 4) : 0;
  }

  /* Whether all of the data was needed. */
  get exhausted() {
    return this.at >= this.data.length;
  }

  /* The next symbol under a table of cumulative counts: ends[k] is the sum of the counts up to and with k. */
  symbol(ends) {
    const scale = this.rangeHigh * 256 + (this.rangeLow >>> 24);
    // Rounded: it may be one too large or too small, and with it the symbol, which is put right below.
    const quantile = (this.distanceHigh * 2 ** 32 + this.distanceLow) / scale;
    let low = 0, high = ends.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ends[middle] > quantile) high = middle;
      else low = middle + 1;
    }
    for (;;) {
      const before = low ? ends[low - 1] : 0;
      const found = this.take(scale, before, ends[low] - before);
      if (!found) return low;
      low += found;
      if (low < 0 || low >= ends.length) refuse("CorruptFile", "coded data does not decode");
    }
  }

  /* A number below 2^bits, all equally likely. */
  uniform(bits) {
    const scale = this.rangeHigh * 256 + (this.rangeLow >>> 24), share = 2 ** (24 - bits);
    let value = Math.floor((this.distanceHigh * 2 ** 32 + this.distanceLow) / (scale * share));
    value = Math.min(Math.max(value, 0), 2 ** bits - 1);
    for (;;) {
      const found = this.take(scale, value * share, share);
      if (!found) return value;
      value += found;
      if (value < 0 || value >= 2 ** bits) refuse("CorruptFile", "coded data does not decode");
    }
  }

  /* Go into the interval of `count` parts behind `before` ones. Returns -1 or 1, and changes nothing, if the point lies
     before or behind it. */
  take(scale, before, count) {
    // Products of 40 and 24 bits, as two numbers: scale = top 2^20 + rest.
    const top = Math.floor(scale / 2 ** 20), rest = scale % 2 ** 20;
    let a = top * before, low = (a % 4096) * 2 ** 20 + rest * before;
    let high = this.distanceHigh - Math.floor(a / 4096) - Math.floor(low / 2 ** 32);
    low = this.distanceLow - (low % 2 ** 32);
    if (low < 0) {
      low += 2 ** 32;
      high -= 1;
    }
    if (high < 0) return -1;
    a = top * count;
    let rangeLow = (a % 4096) * 2 ** 20 + rest * count;
    let rangeHigh = Math.floor(a / 4096) + Math.floor(rangeLow / 2 ** 32);
    rangeLow %= 2 ** 32;
    if (high > rangeHigh || (high === rangeHigh && low >= rangeLow)) return 1;
    if (rangeHigh === 0) {
      rangeHigh = rangeLow;
      rangeLow = 0;
      high = low;
      low = this.word();
    }
    this.rangeHigh = rangeHigh;
    this.rangeLow = rangeLow;
    this.distanceHigh = high;
    this.distanceLow = low;
    return 0;
  }
}

/* counts of all tables one after the other, the length and the first value of each -> [{low, ends}]. */
function tablesOf(counts, lengths, lows) {
  let at = 0;
  return Array.from(lengths, (length, n) => {
    const ends = new Int32Array(length);
    let sum = 0;
    for (let k = 0; k < length; k++) ends[k] = sum += counts[at++];
    return { low: lows[n], ends };
  });
}

const TAIL_LENGTHS = tablesOf(Array.from({ length: 16 }, (_, n) => 2 ** (24 - Math.min(n + 1, 15))), [16], [0])[0].ends;

/* Values of a group of elements, section 10. numbers: their tables, of which those of -1 are not coded and 0. */
function readGroup(coder, tables, numbers) {
  const out = new Int32Array(numbers.length), counts = new Int32Array(tables.length + 1);
  for (const number of numbers) if (number >= 0) counts[number + 1]++;
  for (let n = 0; n < tables.length; n++) counts[n + 1] += counts[n];
  const starts = counts.slice(), places = new Int32Array(counts[tables.length]);
  for (let place = 0; place < numbers.length; place++) {
    if (numbers[place] >= 0) places[starts[numbers[place]]++] = place;
  }
  for (let n = 0; n < tables.length; n++) {
    const { low, ends } = tables[n], escape = ends.length - 1, escaped = [];
    for (let at = counts[n]; at < counts[n + 1]; at++) {
      const symbol = coder.symbol(ends);
      if (symbol === escape) escaped.push(places[at]);
      else out[places[at]] = low + symbol;
    }
    const lengths = escaped.map(() => coder.symbol(TAIL_LENGTHS));
    for (let length = 0; escaped.length && length < 16; length++) {
      escaped.forEach((place, at) => {
        if (lengths[at] !== length) return;
        const value = coder.uniform(length + 1), distance = (value >> 1) + 2 ** length;
        out[place] = value & 1 ? low - distance : low + escape - 1 + distance;
      });
    }
  }
  return out;
}
