"use strict";

/* The header of a picture or a set, and what follows from it: FORMAT.md, sections 4 and 6.

   payload of LHDR [and of LSET] -> fields by name, boxes of the units, limits of their chunks

   What is wrong is said in the words of the command. */

const MAX_SIDE = 2 ** 20, MAX_PIXELS = 2 ** 28, MAX_TILE_PIXELS = 2 ** 26, MAX_CHUNK = 2 ** 31 - 1;

const FIELDS = [
  { name: "version", size: 1, names: { 0: "experimental", 1: "stable" } },
  { name: "media", size: 1, names: { 0: "image", 1: "set" } },
  { name: "width", size: 4, low: 1, high: MAX_SIDE, beyond: "LimitExceeded" },
  { name: "height", size: 4, low: 1, high: MAX_SIDE, beyond: "LimitExceeded" },
  { name: "channels", size: 1, names: { 1: "grey", 3: "RGB" } },
  { name: "bit_depth", size: 1, names: { 8: "samples 0 to 255", 16: "samples 0 to 65535" } },
  { name: "colour_primaries", size: 1, open: true,
    names: { 1: "BT.709, sRGB", 2: "unspecified", 9: "BT.2020", 11: "DCI-P3", 12: "Display P3" } },
  { name: "transfer", size: 1, open: true,
    names: { 1: "BT.709", 2: "unspecified", 8: "linear", 13: "sRGB", 16: "PQ", 18: "HLG" } },
  { name: "matrix", size: 1, names: { 0: "identity, RGB or grey" } },
  { name: "full_range", size: 1, names: { 1: "full range" } },
  { name: "alpha", size: 1, names: { 0: "none", 1: "straight" } },
  { name: "codec", size: 1, names: { 0: "latents of a model", 1: "lossless blocks" } },
  { name: "parse_digest", size: 8 },
  { name: "synthesis_digest", size: 8 },
  { name: "quality", size: 2, low: 0, high: 63 * 256 },
  { name: "tile_width", size: 2, low: 0, high: 65472, step: 64 },
  { name: "tile_height", size: 2, low: 0, high: 65472, step: 64 },
];
{
  let at = 0;
  for (const field of FIELDS) {
    field.offset = at;
    at += field.size;
  }
}
const HEADER_BYTES = 40, NO_DIGEST = "0".repeat(16);
const LATER_MEDIA = { 2: "video", 3: "sound" };

function checkField(field, value, where) {
  if (field.size === 8) return;
  const found = `${where}${field.name} is ${value}`;
  if (field.names) {
    if (!field.open && !(value in field.names)) {
      const known = Object.entries(field.names).map(([number, name]) => `${number} (${name})`).join(" or ");
      refuse("UnsupportedFile", `${found}, expected ${known}: a newer version of lecodec may know it`);
    }
  } else if (value < field.low) {
    refuse("CorruptFile", `${found}, expected ${field.low} to ${field.high}`);
  } else if (value > field.high) {
    refuse(field.beyond ?? "CorruptFile", `${found}, expected ${field.low} to ${field.high}`);
  } else if (field.step && value % field.step) {
    refuse("CorruptFile", `${found}, expected a multiple of ${field.step}`);
  }
}

/* The header that an LHDR payload at `offset` begins. more(type, limit) -> payload and offset of the next chunk. */
function unpackHeader(payload, offset, more) {
  const version = payload.length ? payload[0] : 1;
  checkField({ ...FIELDS[0], names: { ...FIELDS[0].names, 2: "layout in a chunk" } }, version, `byte ${offset}: `);
  if (version === 2) refuseLater(payload, offset);
  if (payload.length !== HEADER_BYTES) {
    refuse("CorruptFile", `byte ${offset}: a header of ${payload.length} bytes, expected ${HEADER_BYTES}`);
  }
  const header = {};
  for (const field of FIELDS) {
    const at = field.offset;
    const value = { 1: () => payload[at], 2: () => u16(payload, at), 4: () => u32(payload, at),
      8: () => hex(payload.subarray(at, at + 8)) }[field.size]();
    checkField(field, value, `byte ${offset + at}: `);
    header[field.name] = value;
  }
  const [wrong] = contradictions(header);
  if (wrong) {
    const field = FIELDS.find((one) => one.name === wrong[0]);
    refuse("CorruptFile", `byte ${offset + field.offset}: ${wrong[1]}`);
  }
  if (header.media === 1) Object.assign(header, unpackSet(header, ...more("LSET", 41)));
  checkSizes(header);
  header.lossless = header.codec === 1;
  header.boxes = boxesOf(header);
  header.noun = header.media === 1 ? "block" : "tile";
  header.parts = header.alpha ? ["LDAT", "LALP"] : ["LDAT"];
  return header;
}

function refuseLater(payload, offset) {
  if (payload.length !== 21) {
    refuse("CorruptFile", `byte ${offset}: a header of ${payload.length} bytes, expected 21`);
  }
  checkField({ name: "media", size: 1, names: LATER_MEDIA }, payload[1], `byte ${offset + 1}: `);
  refuse("NotShown", `a ${LATER_MEDIA[payload[1]]}: this page decodes pictures`);
}

function* contradictions(header) {
  const { media, codec, tile_width: width, tile_height: height } = header;
  if (media === 1 && codec !== 1) {
    yield ["codec", `codec is ${codec} and media is 1 (set), expected 1 (lossless blocks)`];
  }
  if (codec === 1) {
    const digest = header.synthesis_digest;
    if (digest !== NO_DIGEST) yield ["synthesis_digest", `synthesis_digest is ${digest} without loss, expected 0`];
    if (header.quality) yield ["quality", `quality is ${header.quality} without loss, expected 0`];
  }
  if (!width !== !height) {
    yield ["tile_width", `tile_width is ${width} and tile_height is ${height}, expected both 0 or neither`];
  }
  for (const name of media === 1 ? ["alpha", "tile_width"] : []) {
    if (header[name]) yield [name, `${name} is ${header[name]} and media is 1 (set), expected 0`];
  }
}

function checkSizes({ width, height, media, count, block, tile_width: tileWidth, tile_height: tileHeight }) {
  const pixels = width * height, moved = "(LECODEC_MAX_PIXELS moves it)";
  if (pixels > MAX_PIXELS) {
    refuse("LimitExceeded",
      `a picture of ${width} x ${height} = ${pixels} pixels: the limit is ${MAX_PIXELS} ${moved}`);
  }
  const tile = [Math.min(tileWidth || width, width), Math.min(tileHeight || height, height)];
  if (tile[0] * tile[1] > MAX_TILE_PIXELS) {
    refuse("LimitExceeded", `a tile of ${tile[0]} x ${tile[1]} = ${tile[0] * tile[1]} pixels: the limit is ` +
      `${MAX_TILE_PIXELS}, larger pictures are cut into smaller tiles`);
  }
  if (media !== 1) return;
  const items = `items of ${width} x ${height}`;
  if (count * pixels > MAX_PIXELS) {
    refuse("LimitExceeded",
      `a set of ${count} ${items} = ${count * pixels} pixels: the limit is ${MAX_PIXELS} ${moved}`);
  }
  if (block * pixels > MAX_TILE_PIXELS) {
    refuse("LimitExceeded", `a block of ${block} ${items} = ${block * pixels} pixels: the limit is ` +
      `${MAX_TILE_PIXELS}, blocks may have fewer items`);
  }
}

/* LSET: the shape of an item, how many there are, and how many in a block. */
function unpackSet(header, payload, offset) {
  const where = `byte ${offset}: LSET`, dimensions = payload.length ? payload[0] : 0;
  if (dimensions > 8) {
    refuse("CorruptFile", `${where}: items of ${dimensions} dimensions, expected at most 8`);
  }
  if (payload.length !== 9 + 4 * dimensions) {
    refuse("CorruptFile", `${where} of ${payload.length} bytes, expected ${9 + 4 * dimensions}`);
  }
  const numbers = Array.from({ length: dimensions + 2 }, (_, n) => u32(payload, 1 + 4 * n));
  const shape = numbers.slice(0, dimensions), [count, block] = numbers.slice(dimensions);
  const said = `[${shape.join(", ")}]`;
  let wrong = null;
  if (shape.includes(0)) wrong = `of items of the shape ${said}, expected sides of at least 1`;
  else if (count < 1) wrong = `of ${count} items, expected 1 to ${2 ** 32 - 1}`;
  else if (block < 1 || block > count) wrong = `of ${count} items with ${block} items a block, expected 1 to ${count}`;
  if (wrong) refuse("CorruptFile", `${where}: a set ${wrong}`);
  const [width, height, channels] = geometry(shape);
  if (Math.max(width, height) > MAX_SIDE) {
    refuse("LimitExceeded", `items of the shape ${said}: as a picture of ${width} x ${height} samples they have a ` +
      `side longer than ${MAX_SIDE}`);
  }
  if (width !== header.width || height !== header.height || channels !== header.channels) {
    refuse("CorruptFile", `byte ${offset}: items of the shape ${said}, that is ${width} x ${height} x ${channels}, ` +
      `and a header of ${header.width} x ${header.height} x ${header.channels} (width, height, channels)`);
  }
  return { shape, count, block };
}

/* The shape of an item -> width, height, channels of the header. */
function geometry(shape) {
  if (shape.length === 3 && shape[2] <= 4) {
    const [height, width, channels] = shape;
    return channels === 3 ? [width, height, 3] : [width * channels, height, 1];
  }
  return [shape.length ? shape[shape.length - 1] : 1, shape.slice(0, -1).reduce((a, b) => a * b, 1), 1];
}

/* {x, y, width, height} of each tile, or of each block: its items one below the other. */
function boxesOf(header) {
  const { width, height } = header, boxes = [];
  if (header.media === 1) {
    for (let first = 0; first < header.count; first += header.block) {
      const items = Math.min(header.block, header.count - first);
      boxes.push({ x: 0, y: first * height, width, height: items * height });
    }
    return boxes;
  }
  const stepX = header.tile_width || width, stepY = header.tile_height || height;
  for (let y = 0; y < height; y += stepY) {
    for (let x = 0; x < width; x += stepX) {
      boxes.push({ x, y, width: Math.min(stepX, width - x), height: Math.min(stepY, height - y) });
    }
  }
  return boxes;
}

/* Least and most bytes of the payload of data chunk `number`, by type, the usual type first. */
function dataRules(header, number) {
  const unit = Math.floor(number / header.parts.length), part = header.parts[number % header.parts.length];
  const { width, height } = header.boxes[unit], bytes = header.bit_depth / 8;
  const most = (raw) => Math.min(MAX_CHUNK, raw + Math.floor(raw / 8) + 4096);
  const lossless = most(width * height * header.channels * bytes);
  if (part === "LALP") return { LALP: [8, most(height * (1 + width * bytes))] };
  if (header.lossless) return { LDAT: [9, lossless] };
  const padded = Math.ceil(width / 64) * 64 * (Math.ceil(height / 64) * 64);
  return { LDAT: [8, Math.min(MAX_CHUNK, 64 * padded + 4096)], LEXT: [9, lossless] };
}
