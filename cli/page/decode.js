"use strict";

/* A file as a picture: what has to be done, in pieces that workers share.

   bytes -> readFile -> tiles -> latents -> windows of them -> samples -> picture

   `work` does one piece, anywhere; `decode` says which pieces there are, and puts together what comes back. */

if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) throw new Error("this page is for little-endian machines");

const WINDOW = 64; // positions of y along a side of what is synthesised at a time, about: 1024 pixels

/* One piece of work. task.kind: "latents" of a tile, "samples" of a window, "block" without loss, "alpha" of a tile. */
async function work(model, task) {
  if (task.kind === "latents") return tileLatents(model, task.chunk, task.box, task.header.quality);
  if (task.kind === "block") return blockSamples(task.chunk, task.box, task.header);
  if (task.kind === "alpha") return alphaSamples(task.chunk, task.box, task.header);
  return model.synthesis.run(task.yHat, task.h, task.w, task.header);
}

/* Why a file cannot be shown here; null if it can. model: the one in the page, or null. */
function notShown(header, model) {
  if (header.lossless) {
    const said = `it was coded without loss with the model of parse digest ${header.parse_digest}`;
    return header.parse_digest === NO_DIGEST ? null : `${said}: this page knows models with loss`;
  }
  if (model && !model.known) return `${model.card.name} has networks that this page does not know`;
  if (!model || model.digest() !== header.parse_digest) {
    return `the file needs the model with parse digest ${header.parse_digest}, which is not in this page`;
  }
  const { kind = "image", transform } = model.card;
  if (kind !== "image" || (transform.block ?? "gated") !== "gated") {
    return `${model.card.name} is a model of a kind that this page does not know`;
  }
  return null;
}

/* A picture: {samples, alpha, digests}. share(tasks, done): does tasks, in any order, and calls done(n, result) for
   each; count: how many there may be at a time. */
async function decode(file, model, share, count = 1) {
  const { header } = file, { width, height, channels } = header;
  const why = notShown(header, model);
  if (why) refuse("NotShown", why);
  const rows = header.media === 1 ? header.count * height : height;
  const samples = new (header.bit_depth > 8 ? Uint16Array : Uint8Array)(rows * width * channels);
  const small = plainHeader(header), exact = file.data.flatMap((chunk, n) => (chunk.exact ? [n] : []));
  const blocks = header.lossless ? file.data.map((_, n) => n) : exact;
  const tasks = blocks.map((n) => ({ kind: "block", chunk: file.data[n], box: header.boxes[n], header: small }));
  const held = [];
  await share(tasks, (n, found) => held.push([header.boxes[blocks[n]], found]));
  if (!header.lossless) await decodeLatents(file, model, small, exact, samples, share, count);
  for (const [box, found] of held) paste(found, box.width, { x: 0, y: 0 }, samples, width, box, channels);
  return { samples, alpha: await decodeAlpha(file, small, share), digests: file.data.length + file.alpha.length };
}

/* What workers need of a header: all but the boxes, of which there may be many. */
function plainHeader(header) {
  return { ...header, boxes: [] };
}

async function decodeLatents(file, model, header, exact, samples, share, count) {
  const { boxes } = file.header, { width, height, channels } = header, m = model.latent;
  const h = Math.ceil(height / 16), w = Math.ceil(width / 16), yHat = new Int32Array(m * h * w);
  const tiles = boxes.map((_, n) => n).filter((n) => !exact.includes(n));
  checkPossible(file, model, tiles);
  const tasks = tiles.map((n) => ({ kind: "latents", chunk: file.data[n], box: boxes[n], header }));
  await share(tasks, (n, found) => {
    const box = boxes[tiles[n]], { h: rows, w: columns } = latentSizes(box);
    for (let c = 0, at = 0; c < m; c++) {
      for (let i = 0; i < rows; i++, at += columns) {
        yHat.set(found.subarray(at, at + columns), (c * h + box.y / 16 + i) * w + box.x / 16);
      }
    }
  });
  fillLatents(yHat, h, w, file.header, exact);
  const wanted = windowsOf(h, w, model.margin, count);
  const pieces = wanted.map(({ take }) => ({
    kind: "samples", header, h: take.bottom - take.top, w: take.right - take.left, yHat: cut(yHat, h, w, take),
  }));
  await share(pieces, (n, found) => {
    const { take, core } = wanted[n], from = { x: 16 * (core.left - take.left), y: 16 * (core.top - take.top) };
    const box = { x: 16 * core.left, y: 16 * core.top };
    box.width = Math.min(16 * core.right, width) - box.x;
    box.height = Math.min(16 * core.bottom, height) - box.y;
    paste(found, 16 * (take.right - take.left), from, samples, width, box, channels);
  });
}

/* Refuse data that is shorter than the cheapest symbols of z are: a small file that claims to be huge. */
function checkPossible(file, model, tiles) {
  const tables = model.tables.z, first = Math.floor(((file.header.quality >> 8) * 8) / 64) * model.hyper;
  let each = 0, bits = 0, least = 0;
  for (const { ends } of tables.slice(first, first + model.hyper)) {
    let most = 0;
    ends.forEach((end, k) => (most = Math.max(most, end - (k ? ends[k - 1] : 0))));
    each -= Math.log2(most / 2 ** 24);
  }
  for (const n of tiles) {
    const { hz, wz, h, w } = latentSizes(file.header.boxes[n]), coded = 8 * file.data[n].payload.length;
    const needed = each * hz * wz;
    if (coded + 64 < needed) {
      refuse("CorruptFile",
        `${coded} bits cannot hold ${16 * w} x ${16 * h} pixels: ${needed.toFixed(0)} or more do`);
    }
    bits += coded;
    least += needed;
  }
  if (bits + 64 < least) {
    refuse("CorruptFile", `${bits} bits cannot hold ${tiles.length} tiles: ${least.toFixed(0)} or more do`);
  }
}

async function decodeAlpha(file, header, share) {
  if (!header.alpha) return null;
  const { boxes } = file.header, { width, height } = header;
  const alpha = new (header.bit_depth > 8 ? Uint16Array : Uint8Array)(width * height);
  const tasks = file.alpha.map((chunk, n) => ({ kind: "alpha", chunk, box: boxes[n], header }));
  await share(tasks, (n, found) => paste(found, boxes[n].width, { x: 0, y: 0 }, alpha, width, boxes[n], 1));
  return alpha;
}

/* Windows whose cores cover h x w positions once: {take, core}, with a margin around the core but at the borders. At
   least `count` of them where that is worth its margins. */
function windowsOf(h, w, margin, count) {
  const columns = Math.ceil(w / WINDOW), wanted = Math.max(Math.ceil(h / WINDOW), Math.ceil(count / columns));
  const rows = Math.max(1, Math.min(wanted, Math.max(Math.ceil(h / WINDOW), Math.floor(h / (2 * margin)))));
  const high = Math.ceil(h / rows), wide = Math.ceil(w / columns), found = [];
  for (let top = 0; top < h; top += high) {
    for (let left = 0; left < w; left += wide) {
      const core = { top, left, bottom: Math.min(top + high, h), right: Math.min(left + wide, w) };
      found.push({ core, take: { top: Math.max(top - margin, 0), left: Math.max(left - margin, 0),
        bottom: Math.min(core.bottom + margin, h), right: Math.min(core.right + margin, w) } });
    }
  }
  return found;
}

/* A part of planes [M, h, w]. */
function cut(planes, h, w, { top, bottom, left, right }) {
  const m = planes.length / (h * w), wide = right - left, out = new Int32Array(m * (bottom - top) * wide);
  for (let c = 0, at = 0; c < m; c++) {
    for (let i = top; i < bottom; i++, at += wide) {
      out.set(planes.subarray((c * h + i) * w + left, (c * h + i) * w + right), at);
    }
  }
  return out;
}

/* Copy a box of samples. from: where it begins in `source`, whose rows have `wide` pixels; box: where it goes. */
function paste(source, wide, from, target, width, box, channels) {
  for (let y = 0; y < box.height; y++) {
    const begin = ((from.y + y) * wide + from.x) * channels;
    target.set(source.subarray(begin, begin + box.width * channels), ((box.y + y) * width + box.x) * channels);
  }
}
