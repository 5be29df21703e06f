"use strict";

/* Samples without loss: tiles and blocks that need no model, exact tiles, and the alpha channel. FORMAT.md, section 5.

   chunk -> stored, deflated, WebP or LZMA -> samples, their digest compared */

const METHODS = { 0: "stored", 1: "deflated", 2: "model", 4: "webp", 5: "lzma", 6: "flac", 7: "adaptive" };

/* Samples of a tile or block of `height` rows, Uint8Array or Uint16Array. */
async function blockSamples(chunk, { width, height }, { channels, bit_depth: depth }) {
  const method = chunk.payload[0], body = chunk.payload.subarray(1), where = `byte ${chunk.offset}`;
  const bytes = depth / 8, row = width * channels * bytes, expected = height * row;
  let plain;
  if (method === 0) {
    if (body.length !== expected) {
      refuse("CorruptFile", `${where}: ${body.length} bytes of stored samples, expected ${expected}`);
    }
    plain = body;
  } else if (method === 1) {
    plain = inflatedRows(body, height, row, bytes * channels, bytes, `${where}: a block`);
  } else if (method === 2) {
    if (chunk.exact) refuse("CorruptFile", `${where}: coding method 2 (model) in an exact tile, which has none`);
    refuse("CorruptFile", `${where}: coding method 2 (model), but the header names no model`);
  } else if (method === 4) {
    if (bytes > 1) refuse("CorruptFile", `${where}: a block of 16 bits as WebP, which has 8`);
    plain = await webpSamples(body, width, height, channels, `${where}: a block`);
  } else if (method === 5) {
    plain = lzma2(body, expected);
    if (!plain) refuse("CorruptFile", `${where} does not decode: an LZMA2 stream of ${expected} bytes`);
  } else if (method === 6) {
    refuse("CorruptFile", `${where}: a block as FLAC, which sounds have`);
  } else if (method === 7) {
    const said = "coding method 7 (adaptive), which this page does not know: lecodec decode does";
    refuse("UnsupportedFile", `${where}: ${said}`);
  } else {
    const known = Object.entries(METHODS).map(([number, name]) => `${number} (${name})`).join(", ");
    refuse("UnsupportedFile",
      `${where}: coding method ${method}, expected ${known}: a newer version of lecodec may know it`);
  }
  if (blake2b64(plain) !== chunk.digest) {
    refuse("CorruptFile", `${where}: a block does not decode to what was encoded`);
  }
  return samplesOf(plain, depth);
}

function samplesOf(plain, depth) {
  return depth === 8 ? plain : new Uint16Array(plain.slice().buffer);
}

/* Deflated rows, each behind its filter type (PNG's filter method 0) -> bytes, numbers of 16 bits little-endian. */
function inflatedRows(data, height, row, pixel, bytes, where) {
  const expected = height * (1 + row), { bytes: found, error } = inflate(data, expected);
  if (error || found.length !== expected) {
    refuse("CorruptFile", `${where} does not inflate to the ${expected} bytes of its rows`);
  }
  const out = new Uint8Array(height * row);
  for (let y = 0; y < height; y++) {
    const from = y * (1 + row), into = y * row, kind = found[from];
    if (kind > 4) refuse("CorruptFile", `${where} does not decode`);
    for (let n = 0; n < row; n++) {
      const left = n >= pixel ? out[into + n - pixel] : 0, up = y ? out[into + n - row] : 0;
      const corner = y && n >= pixel ? out[into + n - row - pixel] : 0;
      const predicted = kind === 0 ? 0 : kind === 1 ? left : kind === 2 ? up
        : kind === 3 ? (left + up) >> 1 : paeth(left, up, corner);
      out[into + n] = found[from + 1 + n] + predicted;
    }
  }
  if (bytes === 2) {
    for (let n = 0; n < out.length; n += 2) [out[n], out[n + 1]] = [out[n + 1], out[n]];
  }
  return out;
}

/* The one of three neighbours that is nearest to left + up - corner; of equals the first in this order. */
function paeth(left, up, corner) {
  const toLeft = Math.abs(up - corner), toUp = Math.abs(left - corner), toCorner = Math.abs(left + up - 2 * corner);
  return toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner;
}

/* A lossless WebP stream, by the browser's own decoder: without alpha it gives every sample as it was. */
async function webpSamples(body, width, height, channels, where) {
  const fields = body.length < 5 ? 0 : u32(body, 1);
  if (body.length < 5 || body[0] !== 0x2f || fields >>> 28) {
    refuse("CorruptFile", `${where} is no lossless WebP stream of version 0 without alpha`);
  }
  const found = [(fields & 0x3fff) + 1, ((fields >> 14) & 0x3fff) + 1];
  if (found[0] !== width || found[1] !== height) {
    refuse("CorruptFile",
      `${where} is a WebP stream of ${found[0]} x ${found[1]} pixels, expected ${width} x ${height}`);
  }
  if (typeof createImageBitmap === "undefined" || typeof OffscreenCanvas === "undefined") {
    refuse("NotShown", "a part is in WebP, and there is no decoder of it here");
  }
  const u32Bytes = (value) => Uint8Array.of(value, value >> 8, value >> 16, value >> 24);
  const chunk = [utf8("VP8L"), u32Bytes(body.length), body, new Uint8Array(body.length % 2)];
  const size = chunk.reduce((sum, part) => sum + part.length, 4);
  let image;
  try {
    const blob = new Blob([utf8("RIFF"), u32Bytes(size), utf8("WEBP"), ...chunk], { type: "image/webp" });
    image = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    refuse("CorruptFile", `${where} does not decode`);
  }
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, width, height).data, out = new Uint8Array(width * height * channels);
  for (let p = 0; p < width * height; p++) {
    for (let c = 0; c < channels; c++) out[p * channels + c] = pixels[4 * p + c];
    if (channels === 1 && (pixels[4 * p] !== pixels[4 * p + 1] || pixels[4 * p] !== pixels[4 * p + 2])) {
      refuse("CorruptFile", `${where} is a WebP stream in colour, expected grey`);
    }
  }
  return out;
}

/* The alpha channel of a tile. */
function alphaSamples(chunk, { width, height }, { bit_depth: depth }) {
  const where = `byte ${chunk.offset}: the alpha channel`, bytes = depth / 8;
  const plain = chunk.payload.length
    ? inflatedRows(chunk.payload, height, width * bytes, bytes, bytes, where)
    : new Uint8Array(height * width * bytes).fill(255);
  if (blake2b64(plain) !== chunk.digest) refuse("CorruptFile", `${where} does not decode to what was encoded`);
  return samplesOf(plain, depth);
}

/* Put into the place of the latents of exact tiles those of the nearest position in a tile around that is not exact
   (section 5, LEXT). yHat: [M, h, w] of the picture; exact: numbers of tiles. */
function fillLatents(yHat, h, w, header, exact) {
  const spans = header.boxes.map((box) => ({ top: Math.floor(box.y / 16), bottom: Math.ceil((box.y + box.height) / 16),
    left: Math.floor(box.x / 16), right: Math.ceil((box.x + box.width) / 16) }));
  const columns = new Set(header.boxes.map((box) => box.x)).size, m = yHat.length / (h * w);
  const AROUND = [[0, -1], [0, 1], [-1, 0], [1, 0], [-1, -1], [-1, 1], [1, -1], [1, 1]];
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  for (const tile of exact) {
    const row = Math.floor(tile / columns), column = tile % columns, { top, bottom, left, right } = spans[tile];
    const others = AROUND.map(([a, b]) => [row + a, column + b])
      .filter(([r, c]) => r >= 0 && c >= 0 && c < columns && r * columns + c < spans.length)
      .map(([r, c]) => r * columns + c).filter((n) => !exact.includes(n)).map((n) => spans[n]);
    for (let i = top; i < bottom; i++) {
      for (let j = left; j < right; j++) {
        let nearest = null, least = Infinity;
        for (const span of others) {
          const down = clamp(i, span.top, span.bottom - 1), across = clamp(j, span.left, span.right - 1);
          const away = Math.abs(down - i) + Math.abs(across - j);
          if (away < least) {
            least = away;
            nearest = down * w + across;
          }
        }
        for (let c = 0; c < m; c++) yHat[c * h * w + i * w + j] = nearest === null ? 0 : yHat[c * h * w + nearest];
      }
    }
  }
}
