"use strict";

/* The page: what was embedded in it, decoded and shown, or a sentence that says why not. */

const byId = (id) => document.getElementById(id);

function embedded(id) {
  const text = atob(byId(id).textContent), bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes.length ? bytes : null;
}

function make(tag, parent, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent?.append(element);
  return element;
}

function say(text, kind = "") {
  byId("status").textContent = text;
  document.body.dataset.state = kind;
}

const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/* Header and bytes by part, as tables. */
function showFacts({ header, parts, size, metadata }, model) {
  const facts = byId("facts"), bytes = byId("parts");
  facts.replaceChildren();
  bytes.replaceChildren();
  const line = (name, value) => {
    const row = make("tr", facts);
    make("th", row, name, { scope: "row" });
    make("td", row, value);
  };
  for (const { name, names } of FIELDS) {
    const value = name === "quality" ? header[name] / 256 : header[name];
    line(name, names && value in names ? `${value} (${names[value]})` : String(value));
  }
  if (header.media === 1) {
    line("items", `${header.count} of the shape [${header.shape.join(", ")}], ${header.block} a block`);
  }
  if (!header.lossless && model) line("model", model.card.name);
  const pixels = header.width * header.height * (header.count ?? 1);
  line("bits a pixel", ((8 * size) / pixels).toFixed(4));
  const held = Object.keys(metadata).map((type) => METADATA[type]);
  if (held.length) line("metadata", held.join(", "));
  const names = { LHDR: "header", LSET: "shape of the set", LDAT: header.lossless ? "samples" : "latents",
    LEXT: "exact tiles", LALP: "alpha", iNDX: "index", LEND: "end", ...METADATA };
  for (const [type, count] of [...parts, ["whole file", size]]) {
    const row = make("tr", bytes);
    make("th", row, type.length === 4 ? `${names[type] ?? "other"} (${type})` : type, { scope: "row" });
    make("td", row, count.toLocaleString("en"));
    const bar = make("td", row, undefined, { class: "bar" });
    make("span", bar, "").style.width = `${(100 * count) / size}%`;
  }
}

/* What a person should know of the colours on the screen. */
function remarks({ header, metadata, exactPixels }) {
  const found = [];
  if (exactPixels) found.push("The file asks for exact pixels: those shown may differ by a level or two.");
  if (header.bit_depth === 16) found.push("Shown with 8 of 16 bits.");
  if (metadata.iCCP) found.push("The file has an ICC profile, which is not applied here.");
  else if (![1, 2].includes(header.colour_primaries) || ![2, 13].includes(header.transfer)) {
    found.push("Colours are shown as if they were sRGB.");
  }
  return found;
}

const MAX_CANVAS = 16384; // pixels along a side that browsers draw

function draw({ header }, { samples, alpha }) {
  const { width, height, channels, bit_depth: depth } = header, canvas = byId("picture");
  const step = Math.ceil(Math.max(width, height) / MAX_CANVAS), divisor = depth === 16 ? 257 : 1;
  canvas.width = Math.ceil(width / step);
  canvas.height = Math.ceil(height / step);
  const image = new ImageData(canvas.width, canvas.height), { data } = image;
  for (let y = 0, to = 0; y < height; y += step) {
    for (let x = 0; x < width; x += step, to += 4) {
      const at = y * width + x;
      for (let c = 0; c < 3; c++) {
        data[to + c] = Math.round(samples[at * channels + (channels === 3 ? c : 0)] / divisor);
      }
      data[to + 3] = alpha ? Math.round(alpha[at] / divisor) : 255;
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  byId("stage").style.aspectRatio = `${canvas.width} / ${canvas.height}`;
  byId("stage").style.width = `${canvas.width}px`;
  byId("stage").hidden = false;
  return step;
}

/* Before and after, where a second picture is in the page. */
function divide() {
  const share = Number(byId("divider").value);
  byId("picture").style.clipPath = `inset(0 0 0 ${share}%)`;
  byId("line").style.left = `${share}%`;
}

async function show(bytes, name, modelBytes, script, own) {
  byId("stage").hidden = byId("slide").hidden = byId("save").hidden = true;
  byId("name").textContent = document.title = name;
  byId("remarks").replaceChildren();
  byId("facts").replaceChildren();
  byId("parts").replaceChildren();
  say("Decoding …", "busy");
  await new Promise((resolve) => setTimeout(resolve));
  const began = performance.now();
  let workers = null;
  try {
    const file = readFile(bytes), model = modelBytes && new Model(modelBytes);
    showFacts(file, model);
    workers = new Workers(script, modelBytes, Math.min(Math.max(navigator.hardwareConcurrency ?? 1, 1), 4));
    const found = await decode(file, model, (tasks, done) => workers.share(tasks, done), workers.all.length);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const met = `the ${counted(found.digests, "digest")} in the file ${found.digests === 1 ? "is" : "are"} met`;
    if (file.header.media === 1) {
      say(`Decoded here in ${seconds} s: ${met}. Not shown here: a set of samples`, "done");
      return;
    }
    const step = draw(file, found), notes = remarks(file);
    if (step > 1) notes.push(`Every pixel of ${step} is shown: the picture is larger than a canvas.`);
    for (const note of notes) make("p", byId("remarks"), note);
    byId("slide").hidden = byId("line").hidden = !own || !byId("original");
    byId("picture").style.clipPath = "";
    if (byId("original")) byId("original").hidden = !own;
    if (own && byId("original")) divide();
    byId("picture").toBlob((blob) => {
      byId("save").href = URL.createObjectURL(blob);
      byId("save").download = `${name.replace(/\.lec$/, "")}.png`;
      byId("save").hidden = false;
    });
    say(`Decoded here in ${seconds} s: ${met}.`, "done");
  } catch (error) {
    const plain = error instanceof CodecError && error.kind !== "Error";
    say(error.kind === "NotShown" ? `Not shown here: ${error.message}` : plain ? `${name}: ${error.message}`
      : `This browser cannot decode it: ${error.message}`, plain ? error.kind : "Error");
  } finally {
    workers?.close();
  }
}

if (typeof document !== "undefined") {
  const script = document.currentScript.textContent, model = embedded("model");
  const name = document.body.dataset.name;
  byId("other").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    if (file) show(new Uint8Array(await file.arrayBuffer()), file.name, model, script, false);
  });
  byId("divider").addEventListener("input", divide);
  byId("size").addEventListener("click", () => byId("stage").classList.toggle("whole"));
  show(embedded("file"), name, model, script, true);
}
