/* Behind the page's decoder, in node: decodes files, without workers. Asked and told by JSON lines.

   asked: {"model": path or null, "files": [paths], "into": folder} -> told, for each file: {"digests", "shape"} and its
   samples in the folder, as .samples and .alpha, or {"kind", "message"}. {"inflate": [[hex, limit]], "lzma2": [[hex, size]],
   "blake": [hex]} -> what each gives, in hexadecimal, or null. */

const fs = require("fs");
const path = require("path");

async function files({ model: name, files, into }) {
  const model = name ? new Model(new Uint8Array(fs.readFileSync(name))) : null;
  const share = async (tasks, done) => {
    for (let n = 0; n < tasks.length; n++) done(n, await work(model, tasks[n]));
  };
  for (const one of files) {
    try {
      const file = readFile(new Uint8Array(fs.readFileSync(one)));
      const { samples, alpha, digests } = await decode(file, model, share, 2);
      const where = path.join(into, path.basename(one));
      fs.writeFileSync(`${where}.samples`, bytesOf(samples));
      if (alpha) fs.writeFileSync(`${where}.alpha`, bytesOf(alpha));
      console.log(JSON.stringify({ digests, parts: Object.fromEntries(file.parts) }));
    } catch (error) {
      if (!(error instanceof CodecError)) throw error;
      console.log(JSON.stringify({ kind: error.kind, message: error.message }));
    }
  }
}

const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"));
const plain = (found) => (found ? hex(found) : null);

(async () => {
  for (const line of fs.readFileSync(0, "utf8").trim().split("\n")) {
    const asked = JSON.parse(line);
    if (asked.files) await files(asked);
    for (const [text, limit] of asked.inflate ?? []) console.log(JSON.stringify(plain(inflate(bytes(text), limit).bytes)));
    for (const [text, size] of asked.lzma2 ?? []) console.log(JSON.stringify(plain(lzma2(bytes(text), size))));
    for (const text of asked.blake ?? []) console.log(JSON.stringify(blake2b64(bytes(text))));
  }
})();
