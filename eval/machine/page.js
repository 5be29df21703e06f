"use strict";
(() => {
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
      make("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, svg, String(tick));
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

  // -- pictures before and after

  if (!data.pictures.length) return;
  const [stage, under, over, line, divider] = ["stage", "under", "over", "line", "divider"].map(byId);
  const [choice, left, right, slide, told] = ["picture", "left", "right", "rate", "rate-told"].map(byId);
  const ORIGINAL = " original"; // no codec's name begins with a space
  let images = null;
  let bytesShown, pixelsShown; // of what was on the left
  const picture = () => data.pictures[choice.value];

  function fill(select, names, wanted) {
    select.replaceChildren(...names.map((name) => make("option", { value: name }, null, name.trim())));
    select.value = names.includes(wanted) ? wanted : names[0];
  }

  function closest(codec, bytes) {
    const far = (row) => Math.abs(Math.log((row.bytes || 1) / (bytes || 1)));
    return picture().codecs[codec].reduce((best, row, n, all) => (far(row) < far(all[best]) ? n : best), 0);
  }

  function choosePicture() {
    images = JSON.parse(byId(`images-${choice.value}`).textContent);
    const names = Object.keys(picture().codecs);
    const share = bytesShown && bytesShown / pixelsShown;
    fill(left, names.length ? names : [ORIGINAL], left.value);
    fill(right, [ORIGINAL, ...names], right.value);
    const { width, height } = picture();
    stage.style.width = `${Math.min(2 * width, 960, (900 * width) / height)}px`;
    stage.style.aspectRatio = `${width} / ${height}`;
    chooseLeft(share && share * width * height);
  }

  // A middle rate to begin with; then the one nearest to what was shown.
  function chooseLeft(bytes) {
    const rows = picture().codecs[left.value] || [];
    slide.max = Math.max(0, rows.length - 1);
    slide.disabled = rows.length < 2;
    slide.value = bytes === undefined || !rows.length ? Math.floor((rows.length - 1) / 3) : closest(left.value, bytes);
    show();
  }

  function side(codec, index) {
    if (codec === ORIGINAL) return { name: "original", row: picture().original, image: images.original, tag: "original" };
    const row = picture().codecs[codec][index];
    return { name: codec, row, image: images[codec][index], tag: `${codec}, ${rate(row.rate)}` };
  }

  function show() {
    const a = side(left.value, Number(slide.value));
    const b = side(right.value, right.value === ORIGINAL ? 0 : closest(right.value, a.row.bytes));
    over.src = a.image;
    under.src = b.image;
    over.alt = `${picture().name}, ${a.tag}`;
    under.alt = `${picture().name}, ${b.tag}`;
    byId("tag-left").textContent = a.tag;
    byId("tag-right").textContent = b.tag;
    told.textContent = `setting ${a.row.setting}, ${rate(a.row.rate)}`;
    slide.setAttribute("aria-valuetext", told.textContent);
    facts(b.name === "original" ? [side(ORIGINAL), a] : [side(ORIGINAL), a, b]);
    [bytesShown, pixelsShown] = [a.row.bytes, picture().width * picture().height];
    divide();
  }

  function facts(sides) {
    const table = byId("facts");
    table.replaceChildren();
    const head = make("tr", {}, make("thead", {}, table));
    make("td", {}, head);
    for (const s of sides) make("th", { scope: "col" }, head, s.name);
    const body = make("tbody", {}, table);
    const line = (name, of, kind) => {
      const row = make("tr", {}, body);
      make("th", { scope: "row" }, row, name);
      for (const s of sides) {
        const cell = make("td", {}, row, of(s));
        const mark = kind ? kind(s) : "";
        if (mark) make("span", { class: mark === "wrong" || mark === "changed" ? "wrong" : "right" }, cell, ` ${mark}`);
      }
    };
    line("bytes", (s) => s.row.bytes.toLocaleString("en"));
    line(unit.label, (s) => (s.row.rate * unit.scale).toPrecision(3));
    const numbers = { psnr: "PSNR, dB", ms_ssim: "MS-SSIM" };
    for (const [name, text] of Object.entries(numbers))
      if (sides.some((s) => typeof s.row.metrics[name] === "number"))
        line(text, (s) => (s.name === "original" ? "" : (s.row.metrics[name]?.toPrecision(4) ?? "")));
    for (const task of Object.keys(picture().original.answers)) line(task, (s) => s.row.answers[task]?.[2] ?? "", (s) => verdict(s.row.answers[task]));
  }

  // Against the truth where somebody knows it, else against the answer to the original.
  function verdict(answer) {
    if (!answer) return "";
    const [score, agreement] = answer;
    if (score === 1) return "right";
    if (score === 0) return "wrong";
    if (score !== null) return `${(100 * score).toFixed(0)}% right`;
    if (agreement === null) return "";
    return agreement === 0 ? "changed" : `${(100 * agreement).toFixed(0)}% as before`;
  }

  function divide() {
    const share = Number(divider.value);
    over.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    line.style.left = `${share}%`;
  }

  function drag(event) {
    const box = stage.getBoundingClientRect();
    divider.value = clamp((100 * (event.clientX - box.left)) / box.width, 0, 100);
    divide();
  }
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    divider.focus({ preventScroll: true });
    event.preventDefault();
    drag(event);
  });
  stage.addEventListener("pointermove", (event) => stage.hasPointerCapture(event.pointerId) && drag(event));
  divider.step = "any";
  divider.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 }[event.key];
    if (!step) return;
    event.preventDefault();
    divider.value = Number(divider.value) + step;
    divide();
  });
  divider.addEventListener("input", divide);
  choice.addEventListener("change", choosePicture);
  left.addEventListener("change", () => chooseLeft(bytesShown));
  right.addEventListener("change", show);
  slide.addEventListener("input", show);
  choosePicture();
})();
