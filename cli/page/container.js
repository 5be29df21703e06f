"use strict";

/* The container: which chunks a file has and in which order, all of them checked. FORMAT.md, sections 2, 3, 5 and 6.

   bytes -> header, data chunks of the units, metadata, bytes by part

   Nothing is given out before its CRC was right. What is wrong is said in the words of the command. */

const SIGNATURE = Uint8Array.of(0x8c, 0x4c, 0x45, 0x43, 0x0d, 0x0a, 0x1a, 0x0a);
const METADATA = { iCCP: "ICC profile", eXIf: "EXIF", xMPd: "XMP", sTRM: "streams", tAGs: "tags" };
const SAMPLES = "sAMP", SAMPLES_BYTES = 8;
const CRITICAL = ["LHDR", "LSET", "LVID", "LSND", "LDAT", "LEXT", "LALP", "LGRP", "iNDX", "LEND"];
const MAX_ANCILLARY = 2 ** 26, MAX_ANCILLARY_CHUNKS = 1024, MAX_HEADER = 4096;

class ChunkReader {
  constructor(data) {
    this.data = data;
    this.offset = 0;
    this.parts = new Map(); // type -> bytes in the file, frames included
  }

  /* Length and type of the next chunk, which stays to be read. */
  head() {
    const at = this.offset, { data } = this;
    if (at + 8 > data.length) {
      refuse("TruncatedFile", `byte ${data.length}: the file ends, expected a chunk at byte ${at}`);
    }
    const type = latin(data.subarray(at + 4, at + 8));
    if (!/^[A-Za-z]{4}$/.test(type)) {
      const found = hex(data.subarray(at + 4, at + 8), " ");
      refuse("CorruptFile", `byte ${at + 4}: chunk type ${found}, expected four letters`);
    }
    return { type, length: u32(data, at), offset: at, ancillary: type[0] > "Z", reserved: type[2] > "Z" };
  }

  /* Payload of the chunk whose head was just seen. */
  rest({ type, length, offset, reserved }) {
    const { data } = this, begin = offset + 8, end = begin + length;
    if (end + 4 > data.length) {
      const missing = end > data.length ? `${end - data.length} more bytes of` : "the CRC of";
      refuse("TruncatedFile", `byte ${data.length}: the file ends, expected ${missing} ${type}`);
    }
    const found = u32(data, end), crc = crc32(data.subarray(offset + 4, end));
    if (found !== crc) {
      const [said, right] = [found, crc].map((value) => value.toString(16).padStart(8, "0"));
      refuse("CorruptFile", `byte ${end}: CRC of ${type} is ${said}, expected ${right}: damaged`);
    }
    if (reserved) {
      refuse("UnsupportedFile", `byte ${offset + 6}: reserved letter of chunk type ${type} is small, expected a ` +
        "capital: a newer version of lecodec may know it");
    }
    this.offset = end + 4;
    this.parts.set(type, (this.parts.get(type) ?? 0) + length + 12);
    return data.subarray(begin, end);
  }

  /* Refuse the chunk that comes next. */
  unexpected(head, expected) {
    const { type, offset } = head;
    if (CRITICAL.includes(type) || (head.ancillary && !head.reserved)) {
      refuse("CorruptFile", `byte ${offset}: ${type}, expected ${expected}`);
    }
    checkLength(head, MAX_CHUNK);
    this.rest(head);
    refuse("UnsupportedFile",
      `byte ${offset}: critical chunk ${type}, expected ${expected}: a newer version of lecodec may know it`);
  }
}

function checkLength({ type, length, offset }, limit) {
  if (length > limit) {
    refuse("LimitExceeded", `byte ${offset}: ${type} of ${length} bytes, expected at most ${limit}`);
  }
}

function checkSignature(found) {
  const said = latin(found), right = latin(SIGNATURE);
  if (said === right) return;
  if (!said) refuse("TruncatedFile", "byte 0: the file is empty, expected a .lec signature");
  if (right.startsWith(said)) refuse("TruncatedFile", `byte ${said.length}: the file ends inside its signature`);
  let damage = null;
  if (said.startsWith("\x0cLEC")) damage = "its high bits are lost";
  else if (said.startsWith("\xc2\x8cLEC") || said.startsWith("\xef\xbf\xbdLEC")) damage = "it was converted to UTF-8";
  else if (/^\x8cLEC[\r\n\x1a]*$/.test(said.slice(0, 7))) damage = "its line ends were changed";
  const [expected, there] = [SIGNATURE, found].map((bytes) => hex(bytes, " "));
  if (damage) {
    refuse("NotLecFile", `byte 0: a .lec file damaged by a text-mode transfer: ${damage} (expected ${expected}, ` +
      `found ${there}). Transfer it again as binary`);
  }
  refuse("NotLecFile", `byte 0: not a .lec file: expected ${expected}, found ${there}`);
}

/* A whole file. data, alpha: {digest, payload, offset, exact} of each unit. metadata: type -> bytes. */
function readFile(data) {
  checkSignature(data.subarray(0, 8));
  const reader = new ChunkReader(data);
  reader.offset = 8;
  reader.parts.set("signature", 8);
  const first = reader.head();
  if (first.type !== "LHDR") {
    refuse("CorruptFile", `byte ${first.offset + 4}: chunk type ${first.type}, expected LHDR`);
  }
  checkLength(first, MAX_HEADER);
  const header = unpackHeader(reader.rest(first), first.offset + 8, (type, limit) => {
    const head = reader.head();
    if (head.type !== type) reader.unexpected(head, type);
    checkLength(head, limit);
    return [reader.rest(head), head.offset + 8];
  });
  const file = { header, data: [], alpha: [], metadata: {}, size: data.length, parts: reader.parts };
  const left = { bytes: MAX_ANCILLARY, chunks: MAX_ANCILLARY_CHUNKS };
  const front = readAncillary(reader, left, true), metadata = front.filter((chunk) => chunk.type !== SAMPLES);
  inflateMetadata(file, metadata);
  file.exactPixels = front.length > metadata.length;
  checkSamples(front.find((chunk) => chunk.type === SAMPLES), header);
  const lengths = [];
  for (let number = 0; number < header.boxes.length * header.parts.length; number++) {
    const chunk = readData(reader, header, number);
    lengths.push(chunk.payload.length + 8);
    (number % header.parts.length ? file.alpha : file.data).push(chunk);
  }
  readAncillary(reader, left, false);
  let head = reader.head();
  if (head.type === "iNDX") {
    readIndex(reader, head, lengths);
    head = reader.head();
  }
  if (head.type !== "LEND") reader.unexpected(head, "LEND");
  if (head.length) refuse("CorruptFile", `byte ${head.offset}: LEND of ${head.length} bytes, expected 0`);
  reader.rest(head);
  if (reader.offset < data.length) {
    refuse("CorruptFile", `byte ${reader.offset}: more bytes, expected the end of the file after LEND`);
  }
  return file;
}

function readData(reader, header, number) {
  const head = reader.head(), rules = dataRules(header, number), each = header.parts.length;
  if (!(head.type in rules)) {
    const unit = `${header.noun} ${Math.floor(number / each)} of ${header.boxes.length}`;
    reader.unexpected(head, `${Object.keys(rules)[0]} of ${unit}`);
  }
  const [least, most] = rules[head.type];
  if (head.length < least) {
    refuse("CorruptFile", `byte ${head.offset}: ${head.type} of ${head.length} bytes, expected at least ${least}`);
  }
  checkLength(head, most);
  const payload = reader.rest(head);
  return { digest: hex(payload.subarray(0, 8)), payload: payload.slice(8), offset: head.offset + 16,
    exact: head.type === "LEXT" };
}

/* The digest of a picture's samples says how long it is, and stands where it means something. What it says is for
   decoders that make exact pixels: this one does not. */
function checkSamples(chunk, header) {
  if (!chunk) return;
  const where = `byte ${chunk.offset}: ${SAMPLES}`, { length } = chunk.payload;
  if (header.lossless) refuse("CorruptFile", `${where}, expected it in pictures with loss alone`);
  if (length !== SAMPLES_BYTES) refuse("CorruptFile", `${where} of ${length} bytes, expected ${SAMPLES_BYTES}`);
}

/* The ancillary chunks that come next: [{type, payload, offset}] of those that this page knows. */
function readAncillary(reader, left, beforeData) {
  const found = [];
  for (let head = reader.head(); head.ancillary && head.type !== "iNDX"; head = reader.head()) {
    const { type, offset } = head;
    if (!left.chunks) refuse("LimitExceeded", `byte ${offset}: more than ${MAX_ANCILLARY_CHUNKS} ancillary chunks`);
    checkLength(head, left.bytes);
    const known = type in METADATA || type === SAMPLES;
    if (known) {
      if (!beforeData) refuse("CorruptFile", `byte ${offset}: ${type} after the data, expected before it`);
      if (found.some((chunk) => chunk.type === type)) {
        refuse("CorruptFile", `byte ${offset}: another ${type} chunk, expected at most 1`);
      }
    }
    const payload = reader.rest(head);
    if (known) found.push({ type, payload, offset });
    left.chunks -= 1;
    left.bytes -= head.length;
  }
  return found;
}

function inflateMetadata(file, chunks) {
  let left = MAX_ANCILLARY;
  for (const { type, payload, offset } of chunks) {
    const { bytes, error } = inflate(payload, left), where = `byte ${offset}: ${type}`;
    if (error === "damaged") refuse("CorruptFile", `${where} does not inflate: damaged`);
    if (error === "long") refuse("LimitExceeded", `${where} inflates to more than ${left} bytes`);
    if (error) refuse("CorruptFile", `${where} does not inflate to its end: damaged`);
    file.metadata[type] = bytes;
    left -= bytes.length;
  }
}

function readIndex(reader, head, lengths) {
  const { offset } = head;
  if (head.length !== 4 * lengths.length) {
    refuse("CorruptFile", `byte ${offset}: iNDX of ${head.length} bytes, expected ${4 * lengths.length}`);
  }
  const payload = reader.rest(head);
  lengths.forEach((expected, number) => {
    const found = u32(payload, 4 * number);
    if (found !== expected) {
      const where = `byte ${offset + 8 + 4 * number}`;
      refuse("CorruptFile",
        `${where}: iNDX says that data chunk ${number} has ${found} bytes, it has ${expected}`);
    }
  });
}
