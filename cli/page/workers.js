"use strict";

/* Workers: the same script in threads of their own, so that the page answers meanwhile and all cores are used.

   tasks -> Workers.share -> whichever worker is free -> results, in any order */

/* What a worker does: the first message is the model, every other one a piece of work. */
if (typeof document === "undefined" && typeof importScripts === "function") {
  let model = null;
  onmessage = async ({ data: { bytes, number, task } }) => {
    try {
      if (task) {
        const result = await work(model, task), whole = result && result.byteLength === result.buffer.byteLength;
        postMessage({ number, result }, whole ? [result.buffer] : []);
      } else if (bytes) {
        model = new Model(bytes);
      }
    } catch (error) {
      postMessage({ number, kind: error.kind ?? "Error", message: error.message ?? String(error) });
    }
  };
}

class Workers {
  /* script: the text of the page's script; bytes: of the model, or null. */
  constructor(script, bytes, count) {
    const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    this.all = Array.from({ length: count }, () => new Worker(url));
    for (const worker of this.all) worker.postMessage({ bytes });
  }

  /* Do all tasks; done(n, result) is called for each. The first thing that is wrong is thrown. */
  share(tasks, done) {
    return new Promise((resolve, reject) => {
      let next = 0, left = tasks.length;
      if (!left) resolve();
      const give = (worker) => {
        if (next < tasks.length) worker.postMessage({ number: next, task: tasks[next++] });
      };
      for (const worker of this.all) {
        worker.onmessage = ({ data: { number, result, kind, message } }) => {
          if (kind) {
            reject(new CodecError(kind, message));
            return;
          }
          done(number, result);
          if (!--left) resolve();
          give(worker);
        };
        worker.onerror = (event) => reject(new CodecError("Error", event.message || "a worker cannot be started"));
        give(worker);
      }
    });
  }

  close() {
    for (const worker of this.all) worker.terminate();
  }
}
