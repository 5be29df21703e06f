// Curves and tables. page.py puts this file and slider.js into one function, so they share what is declared here.

const data = JSON.parse(document.getElementById("data").textContent);
const { unit, codecs, colours } = data;
const byId = (id) => document.getElementById(id);
const hidden = new Set();
const colour = (codec) => colours[codecs.indexOf(codec) % colours.length];
const dashes = (codec) => (codecs.indexOf(codec) < colours.length ? "" : "2 3");
const rate = (value) => `${(value * unit.scale).toPrecision(3)} ${unit.short}`;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function make(name, attributes, parent, text) {
  const html = ["div", "span", "button", "option", "tr", "th", "td", "thead", "tbody", "strong"].includes(name);
  const node = html ? document.createElement(name) : document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

// Every codec has its own marker too: colours alone are not told apart by everybody.
const shapes = [
  "M4,0A4,4 0 1 1 -4,0A4,4 0 1 1 4,0", "M-3.6,-3.6H3.6V3.6H-3.6Z", "M0,-4.8L4.5,3.4H-4.5Z", "M0,-5.2L4.6,0 0,5.2 -4.6,0Z",
  "M0,4.8L4.5,-3.4H-4.5Z", "M-1.6,-4.6H1.6V-1.6H4.6V1.6H1.6V4.6H-1.6V1.6H-4.6V-1.6H-1.6Z", "M0,-5L4.8,-1.5 3,4.2H-3L-4.8,-1.5Z",
];
const dot = (codec, x, y, parent) =>
  make("path", { d: shapes[codecs.indexOf(codec) % shapes.length], transform: `translate(${x},${y})`, fill: colour(codec), class: "dot" }, parent);

// -- curves

function ticks(low, high, count) {
  const power = 10 ** Math.floor(Math.log10((high - low) / count));
  const step = power * [1, 2, 5, 10].find((s) => (high - low) / (s * power) <= count);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, n) => +((first + n) * step).toPrecision(12));
}

function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const digit of [1, 2, 5]) if (digit * 10 ** power >= low && digit * 10 ** power <= high) found.push(+`${digit}e${power}`);
  return found;
}

function drawFigure(box, figure) {
  const plot = box.querySelector(".plot");
  const width = plot.clientWidth;
  const entries = Object.entries(figure.series);
  const all = entries.flatMap(([, points]) => points);
  plot.replaceChildren();
  if (!all.length || !width) {
    plot.textContent = all.length ? "" : "no points";
    return;
  }
  const height = clamp(width * 0.64, 230, 360);
  const [left, right, top, bottom] = [46, 12, 12, 42];
  const rates = all.map((p) => p[0] * unit.scale);
  const [x0, x1] = [Math.min(...rates) / 1.12, Math.max(...rates) * 1.12];
  const values = [...all, ...(figure.flat ? [[0, ...figure.flat]] : [])].flatMap((p) => p.slice(1, 4)).filter((v) => v !== null);
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (high - low < 1e-9) [low, high] = [low - 1, high + 1];
  let marks = ticks(low, high, 6);
  if (figure.percent) marks = marks.filter((tick) => tick >= 0 && tick <= 100);
  [low, high] = [Math.min(low, marks[0]), Math.max(high, marks.at(-1))];
  const x = (value) => left + ((Math.log(value * unit.scale) - Math.log(x0)) / (Math.log(x1) - Math.log(x0))) * (width - left - right);
  const y = (value) => height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
  const shown = entries.filter(([codec]) => !hidden.has(codec));
  const label = `${figure.label} over ${unit.label}: ${shown.map(([codec]) => codec).join(", ")}. The figures are in the tables.`;
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", tabindex: 0, "aria-label": label }, plot);
  for (const tick of marks) {
    make("line", { x1: left, x2: width - right, y1: y(tick), y2: y(tick), class: "grid" }, svg);
    make("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, svg, figure.percent ? `${tick}%` : String(tick));
  }
  for (const tick of logTicks(x0, x1)) {
    const at = x(tick / unit.scale);
    make("line", { x1: at, x2: at, y1: height - bottom, y2: height - bottom + 4, class: "grid" }, svg);
    make("text", { x: at, y: height - bottom + 17, "text-anchor": "middle" }, svg, String(tick));
  }
  make("text", { x: (left + width - right) / 2, y: height - 5, "text-anchor": "middle" }, svg, `${unit.label}, logarithmic`);
  if (figure.flat) {
    const [value, bottomOf, topOf] = figure.flat;
    if (bottomOf !== null)
      make("rect", { x: left, width: width - left - right, y: y(topOf), height: Math.max(0, y(bottomOf) - y(topOf)), class: "flat-band" }, svg);
    make("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), class: "flat" }, svg);
  }
  for (const [codec, points] of shown) {
    const banded = points.filter((p) => p[2] !== null && p[3] !== null);
    const edge = [...banded.map((p) => [p[0], p[3]]), ...banded.reverse().map((p) => [p[0], p[2]])];
    if (edge.length > 2) make("path", { d: `M${edge.map(([r, v]) => `${x(r)},${y(v)}`).join("L")}Z`, fill: colour(codec), class: "band" }, svg);
  }
  const targets = [];
  for (const [codec, points] of shown) {
    const series = make("g", { "data-codec": codec }, svg);
    make("path", { d: `M${points.map((p) => `${x(p[0])},${y(p[1])}`).join("L")}`, stroke: colour(codec), "stroke-dasharray": dashes(codec), class: "curve" }, series);
    points.forEach((point, index) => {
      dot(codec, x(point[0]), y(point[1]), series);
      targets.push({ codec, index, point, x: x(point[0]), y: y(point[1]) });
    });
  }
  point(plot, svg, figure, targets, y);
}

// What a curve says where one points at it, with the mouse, a finger or the arrow keys.
function point(plot, svg, figure, targets, y) {
  let at = null;
  let mark = null;
  const tip = make("div", { class: "tip", role: "status", hidden: "" }, plot);
  const number = (value) => (figure.percent ? `${value.toFixed(1)}%` : String(+value.toPrecision(4)));
  function show(target) {
    at = target;
    if (mark) mark.remove();
    tip.hidden = !target;
    if (!target) return;
    const [r, value, low, high, setting] = target.point;
    mark = make("g", {}, svg);
    if (low !== null) make("line", { x1: target.x, x2: target.x, y1: y(low), y2: y(high), class: "mark" }, mark);
    make("circle", { cx: target.x, cy: target.y, r: 7, class: "mark" }, mark);
    tip.replaceChildren(make("strong", {}, null, target.codec));
    make("div", {}, tip, `setting ${setting}, ${rate(r)}`);
    make("div", {}, tip, number(value) + (low === null ? "" : ` (${number(low)} to ${number(high)})`));
    const room = plot.clientWidth - tip.offsetWidth;
    tip.style.left = `${clamp(target.x + 14 > room ? target.x - tip.offsetWidth - 14 : target.x + 14, 0, Math.max(0, room))}px`;
    tip.style.top = `${clamp(target.y - tip.offsetHeight - 10, 0, plot.clientHeight)}px`;
  }
  function nearest(event) {
    const box = svg.getBoundingClientRect();
    const far = (t) => Math.hypot(t.x - (event.clientX - box.left), t.y - (event.clientY - box.top));
    const best = targets.reduce((a, b) => (a && far(a) <= far(b) ? a : b), null);
    show(best && far(best) < 60 ? best : null);
  }
  svg.addEventListener("pointermove", nearest);
  svg.addEventListener("pointerdown", nearest);
  svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && show(null));
  svg.addEventListener("blur", () => show(null));
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key] || 0;
    const other = { ArrowUp: -1, ArrowDown: 1 }[event.key] || 0;
    if (event.key === "Escape") show(null);
    if ((!step && !other) || !targets.length) return;
    event.preventDefault();
    const names = [...new Set(targets.map((t) => t.codec))];
    const codec = at ? names[(names.indexOf(at.codec) + other + names.length) % names.length] : names[0];
    const own = targets.filter((t) => t.codec === codec);
    show(own[at ? clamp(at.index + step, 0, own.length - 1) : 0]);
  });
}

const figures = [...document.querySelectorAll("figure[data-figure]")].map((box) => [box, data.figures.find((f) => f.id === box.dataset.figure)]);
const drawAll = () => figures.forEach(([box, figure]) => drawFigure(box, figure));
const legend = document.querySelector(".legend");
for (const codec of legend ? codecs : []) {
  const button = make("button", { type: "button", "aria-pressed": "true" }, legend);
  const sample = make("svg", { viewBox: "0 0 30 14", "aria-hidden": "true" }, button);
  make("line", { x1: 1, x2: 29, y1: 7, y2: 7, stroke: colour(codec), "stroke-dasharray": dashes(codec), class: "curve" }, sample);
  dot(codec, 15, 7, sample);
  make("span", {}, button, codec);
  button.addEventListener("click", () => {
    if (!hidden.delete(codec)) hidden.add(codec);
    button.setAttribute("aria-pressed", String(!hidden.has(codec)));
    drawAll();
  });
}
let drawn = 0;
new ResizeObserver(() => {
  if (document.body.clientWidth !== drawn) drawAll();
  drawn = document.body.clientWidth;
}).observe(document.body);

// -- tables: a click on a column's head sorts, a second one turns the order

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const place = [...head.parentElement.children].indexOf(head);
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = head.closest("table").tBodies[0];
    const key = (row) => row.cells[place].dataset.key;
    const compare = (a, b) => (a !== "" && b !== "" && !isNaN(a) && !isNaN(b) ? a - b : a.localeCompare(b));
    const rows = [...body.rows].sort((a, b) => {
      const [p, q] = [key(a), key(b)];
      if (p === undefined || q === undefined) return (p === undefined) - (q === undefined); // nothing comes last
      return down ? compare(q, p) : compare(p, q);
    });
    body.append(...rows);
  });
}
