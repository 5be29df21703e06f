// Pictures before and after: a divider between two decoded files of one picture, and what was measured on each.

function compare() {
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
    stage.style.width = `${Math.min(2 * width, 660, (640 * width) / height)}px`;
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
        if (mark) make("div", { class: mark.startsWith("✗") ? "wrong" : mark.startsWith("✓") ? "right" : "soft" }, cell, mark);
      }
    };
    line("bytes", (s) => s.row.bytes.toLocaleString("en"));
    line(unit.label, (s) => (s.row.rate * unit.scale).toPrecision(3));
    const numbers = { psnr: "PSNR, dB", ms_ssim: "MS-SSIM", ssimulacra2: "SSIMULACRA2" };
    for (const [name, text] of Object.entries(numbers))
      if (sides.some((s) => typeof s.row.metrics[name] === "number"))
        line(text, (s) => (s.name === "original" ? "" : (s.row.metrics[name]?.toPrecision(4) ?? "")));
    for (const task of Object.keys(picture().original.answers)) line(task, (s) => s.row.answers[task]?.[2] ?? "", (s) => verdict(s.row.answers[task]));
  }

  // Against the truth where somebody knows it, else against the answer to the original.
  function verdict(answer) {
    if (!answer) return "";
    const [score, agreement] = answer;
    if (score === 1) return "✓ right";
    if (score === 0) return "✗ wrong";
    if (score !== null) return `${(100 * score).toFixed(0)}% right`;
    if (agreement === null) return "";
    return agreement === 0 ? "✗ changed" : `${(100 * agreement).toFixed(0)}% as before`;
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
}

if (data.pictures.length) compare();
