// Votes: trials in an order drawn by chance, two sides without names, and their sum.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const NONE = "none"; // what is voted where nothing differs
let state = kept() || drawn(); // order: numbers of trials; swapped: ours is on the right; votes: "ours", "rival" or NONE

function drawn() {
  const order = data.trials.map((_, n) => n);
  for (let n = order.length - 1; n > 0; n--) {
    const other = Math.floor(Math.random() * (n + 1));
    [order[n], order[other]] = [order[other], order[n]];
  }
  return { order, swapped: order.map(() => Math.random() < 0.5), votes: [] };
}

function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(data.key));
    const whole = found && found.order.length === data.trials.length && found.votes.length <= found.order.length;
    return whole ? found : null;
  } catch {
    return null;
  }
}

function keep() {
  try {
    localStorage.setItem(data.key, JSON.stringify(state));
  } catch {
    // Without storage the votes last as long as the page.
  }
}

const done = () => state.votes.length === state.order.length;
const current = () => data.trials[state.order[state.votes.length]];

function show() {
  const end = done();
  byId("trial").hidden = end;
  byId("end").hidden = !end;
  byId("which").hidden = !end;
  byId("back").disabled = !state.votes.length;
  if (end) byId("sum").open = true;
  else {
    const trial = current();
    byId("place").textContent = `Trial ${state.votes.length + 1} of ${state.order.length}`;
    for (const image of [byId("left"), byId("right")]) {
      image.width = trial.width * (byId("pair").classList.contains("twice") ? 2 : 1);
      image.height = trial.height * (byId("pair").classList.contains("twice") ? 2 : 1);
    }
    reveal(false);
  }
  sum();
}

function reveal(original) {
  if (done()) return;
  const trial = current();
  const sides = [trial.ours, trial.rival];
  if (state.swapped[state.votes.length]) sides.reverse();
  const images = original ? [trial.original, trial.original] : sides.map((side) => side.image);
  [byId("left").src, byId("right").src] = images.map((n) => data.images[n]);
  byId("pair").classList.toggle("original", original);
}

function vote(side) {
  if (done()) return;
  const swapped = state.swapped[state.votes.length];
  state.votes.push(side === NONE ? NONE : (side === "left") === swapped ? "rival" : "ours");
  keep();
  show();
}

function row(table, cells, head) {
  const line = document.createElement("tr");
  for (const [n, cell] of cells.entries()) {
    const node = document.createElement(head ? "th" : "td");
    if (n && typeof cell === "number") node.className = "n";
    node.textContent = cell;
    line.append(node);
  }
  table.append(line);
}

// Wilson's interval of a share; halves count for both sides.
function share(won, lost, none) {
  const n = won + lost + none;
  if (!n) return "";
  const [z, p] = [1.96, (won + none / 2) / n];
  const middle = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  const percent = (value) => `${(100 * value).toFixed(0)}%`;
  return `${percent(p)} (${percent(middle - half)} to ${percent(middle + half)})`;
}

function cast() {
  return state.votes.map((vote, n) => ({ vote, trial: data.trials[state.order[n]] }));
}

function sum() {
  const votes = cast();
  byId("counted").textContent = `${votes.length} of ${state.order.length} votes`;
  const table = byId("totals");
  table.replaceChildren();
  row(table, ["against", "bits a pixel", "for it", "against it", "no difference", "share"], true);
  const line = (rival, rate) => {
    const own = votes.filter(({ trial }) => trial.rival.codec === rival && (rate === null || trial.rate === rate));
    const count = (what) => own.filter(({ vote }) => vote === what).length;
    const [won, lost, none] = [count("ours"), count("rival"), count(NONE)];
    row(table, [rival, rate === null ? "all" : String(rate), won, lost, none, share(won, lost, none)]);
  };
  const rates = [...new Set(data.trials.map((trial) => trial.rate))].sort((a, b) => a - b);
  for (const rival of new Set(data.trials.map((trial) => trial.rival.codec)))
    for (const rate of rates.length > 1 ? [null, ...rates] : [null]) line(rival, rate);
  const clean = (text) => String(text).replace(/[\t\r\n]+/g, " ");
  const columns = ["picture", "column", "row", "bits_a_pixel", "codec", "bytes", "rival", "rival_bytes", "vote"];
  const lines = votes.map(({ vote, trial }) =>
    [trial.name, ...trial.place, trial.rate, trial.ours.codec, trial.ours.bytes, trial.rival.codec, trial.rival.bytes, vote].map(clean).join("\t"),
  );
  byId("save").href = `data:text/tab-separated-values;charset=utf-8,${encodeURIComponent([columns.join("\t"), ...lines, ""].join("\n"))}`;
  if (done()) told(votes);
}

function told(votes) {
  const table = byId("trials");
  table.replaceChildren();
  row(table, ["picture", "bits a pixel", "A", "bytes", "B", "bytes", "voted for"], true);
  for (const [n, { vote, trial }] of votes.entries()) {
    const sides = [trial.ours, trial.rival];
    if (state.swapped[n]) sides.reverse();
    const name = vote === NONE ? "no difference" : trial[vote].codec;
    row(table, [trial.name, trial.rate, sides[0].codec, sides[0].bytes, sides[1].codec, sides[1].bytes, name]);
  }
}

byId("vote-left").addEventListener("click", () => vote("left"));
byId("vote-right").addEventListener("click", () => vote("right"));
byId("vote-none").addEventListener("click", () => vote(NONE));
byId("back").addEventListener("click", () => {
  state.votes.pop();
  keep();
  show();
});
byId("again").addEventListener("click", () => {
  state = drawn();
  keep();
  byId("sum").open = false;
  show();
});
byId("size").addEventListener("click", () => {
  const twice = byId("pair").classList.toggle("twice");
  byId("size").textContent = twice ? "True size" : "Twice the size";
  show();
});
const held = byId("original");
held.addEventListener("pointerdown", () => reveal(true));
for (const name of ["pointerup", "pointerleave", "pointercancel", "blur"]) held.addEventListener(name, () => reveal(false));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " && !["SUMMARY", "A"].includes(event.target.tagName)) {
    event.preventDefault();
    reveal(true);
  }
  const side = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: NONE }[event.key];
  if (!side || event.repeat || done()) return;
  event.preventDefault();
  vote(side);
});
document.addEventListener("keyup", (event) => {
  if (event.key !== " " || ["SUMMARY", "A"].includes(event.target.tagName)) return;
  event.preventDefault(); // or a button that has the focus would be pressed
  reveal(false);
});
show();
