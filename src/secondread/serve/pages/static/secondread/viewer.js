"use strict";
// The viewer: full-depth grey values, window and level, zoom, pan, invert, attention map. No library, no inline style.
(() => {
  const root = document.getElementById("viewer");
  if (!root) return;
  const canvas = root.querySelector("canvas");
  const stage = root.querySelector(".stage");
  const readout = root.querySelector(".readout");
  const control = (name) => root.querySelector(`[data-do=${name}]`);
  const paper = canvas.getContext("2d");
  const STOPS = [[66, 10, 104], [138, 34, 106], [204, 66, 72], [247, 130, 18], [246, 215, 70]]; // inferno from .2 to .9
  const STEP = 40, SHIFT = 30; // of a button or key: pixels of the screen moved; pixels dragged for window and level
  const NAMES = { file: "as the file asks", auto: "this image", full: "full range" };

  const view = { zoom: 1, x: 0, y: 0, low: 0, high: 255, invert: false, heat: false, opacity: 0.6, fitted: true };
  let image = null;   // {values, width, height, colour, top}
  let shown = null;   // canvas of the windowed image
  let maps = null;    // {values, count, height, width}
  let warm = null;    // canvas of the map
  let windows = {};
  let queued = false;

  async function fetched(url) {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(answer.status);
    const buffer = await answer.arrayBuffer();
    return { buffer, shape: JSON.parse(answer.headers.get("X-Shape")), kind: answer.headers.get("X-Kind") };
  }

  async function start() {
    try {
      const { buffer, shape, kind } = await fetched(root.dataset.pixels);
      const values = kind === "uint16" ? new Uint16Array(buffer) : new Uint8Array(buffer);
      image = { values, height: shape[0], width: shape[1], colour: shape.length === 3 };
    } catch {
      root.querySelector(".loading").textContent = "The image could not be loaded.";
      return;
    }
    root.querySelector(".loading").remove();
    windows = told();
    const choice = control("window");
    for (const name of ["file", "auto", "full"]) {
      if (windows[name]) choice.append(new Option(NAMES[name], name));
    }
    choice.append(new Option("by hand", "hand"));
    for (const part of root.querySelectorAll(".grey")) part.hidden = image.colour;
    pick(windows.file ? "file" : image.values.BYTES_PER_ELEMENT === 1 ? "full" : "auto");
    new ResizeObserver(resized).observe(stage);
    resized();
  }

  function told() {
    try { return JSON.parse(root.dataset.windows); } catch { return { full: [0, 255] }; }
  }

  // --- drawing
  function redraw(again) {
    if (again) shown = null;
    if (!queued) { queued = true; requestAnimationFrame(() => { queued = false; draw(); }); }
  }

  function draw() {
    if (!image) return;
    if (!shown) shown = windowed();
    const scale = devicePixelRatio || 1;
    paper.setTransform(1, 0, 0, 1, 0, 0);
    paper.clearRect(0, 0, canvas.width, canvas.height);
    paper.setTransform(view.zoom * scale, 0, 0, view.zoom * scale, view.x * scale, view.y * scale);
    paper.imageSmoothingEnabled = view.zoom < 8; // from there on whoever looks wants to see pixels
    paper.imageSmoothingQuality = "high";
    paper.drawImage(shown, 0, 0);
    if (view.heat && warm) {
      const [x, y, width, height] = place();
      paper.save();
      paper.beginPath();
      paper.rect(0, 0, image.width, image.height);
      paper.clip();
      paper.globalAlpha = view.opacity;
      paper.imageSmoothingEnabled = true;
      paper.drawImage(warm, x, y, width, height);
      paper.restore();
    }
  }

  // every grey value once through the window, then every pixel through the table
  function windowed() {
    const made = document.createElement("canvas");
    made.width = image.width;
    made.height = image.height;
    const ink = made.getContext("2d");
    const data = ink.createImageData(image.width, image.height);
    const out = new Uint32Array(data.data.buffer);
    const count = image.width * image.height;
    const values = image.values;
    if (image.colour) {
      const turn = view.invert ? 255 : 0;
      for (let at = 0, from = 0; at < count; at++, from += 3) {
        out[at] = 0xff000000 | ((values[from + 2] ^ turn) << 16) | ((values[from + 1] ^ turn) << 8) | (values[from] ^ turn);
      }
    } else {
      const table = new Uint32Array(values.BYTES_PER_ELEMENT === 1 ? 256 : 65536);
      const width = Math.max(view.high - view.low, 1e-6);
      for (let value = 0; value < table.length; value++) {
        let grey = Math.round(255 * Math.min(1, Math.max(0, (value - view.low) / width)));
        if (view.invert) grey = 255 - grey;
        table[value] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
      }
      for (let at = 0; at < count; at++) out[at] = table[values[at]];
    }
    ink.putImageData(data, 0, 0);
    return made;
  }

  // where the square the model saw lies in the image
  function place() {
    const border = Number(root.dataset.border) || 0;
    const left = image.width * border, top = image.height * border;
    const width = image.width - 2 * left, height = image.height - 2 * top;
    if (root.dataset.fit === "stretch") return [left, top, width, height];
    const side = root.dataset.fit === "pad" ? Math.max(width, height) : Math.min(width, height);
    return [left + (width - side) / 2, top + (height - side) / 2, side, side];
  }

  async function showHeat() {
    if (!maps) {
      try {
        const { buffer, shape } = await fetched(root.dataset.heat);
        maps = { values: new Uint8Array(buffer), height: shape[1], width: shape[2] };
      } catch { view.heat = false; return; }
    }
    const { values, width, height } = maps;
    const from = Number(control("class").value) * width * height;
    warm = document.createElement("canvas");
    warm.width = width;
    warm.height = height;
    const ink = warm.getContext("2d");
    const data = ink.createImageData(width, height);
    for (let at = 0; at < width * height; at++) {
      const share = values[from + at] / 255;
      const place = share * (STOPS.length - 1), low = Math.min(Math.floor(place), STOPS.length - 2), part = place - low;
      for (let c = 0; c < 3; c++) data.data[4 * at + c] = STOPS[low][c] * (1 - part) + STOPS[low + 1][c] * part;
      data.data[4 * at + 3] = 255 * share;
    }
    ink.putImageData(data, 0, 0);
    while (warm.width < 256) warm = doubled(warm);
  }

  // step by step: enlarged at once, a coarse map shows its cells
  function doubled(small) {
    const made = document.createElement("canvas");
    made.width = 2 * small.width;
    made.height = 2 * small.height;
    made.getContext("2d").drawImage(small, 0, 0, made.width, made.height);
    return made;
  }

  // --- acts
  function resized() {
    const scale = devicePixelRatio || 1;
    canvas.width = Math.round(stage.clientWidth * scale);
    canvas.height = Math.round(stage.clientHeight * scale);
    if (view.fitted) fit(); else redraw();
  }
  function fit() {
    view.zoom = Math.min(stage.clientWidth / image.width, stage.clientHeight / image.height);
    view.x = (stage.clientWidth - image.width * view.zoom) / 2;
    view.y = (stage.clientHeight - image.height * view.zoom) / 2;
    view.fitted = true;
    redraw();
  }
  function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
    const next = Math.min(40, Math.max(0.02, view.zoom * factor)), ratio = next / view.zoom;
    view.x = x - (x - view.x) * ratio;
    view.y = y - (y - view.y) * ratio;
    view.zoom = next;
    view.fitted = false;
    redraw();
  }
  function move(x, y) { view.x += x; view.y += y; view.fitted = false; redraw(); }
  function pick(name) {
    if (windows[name]) [view.low, view.high] = windows[name];
    control("window").value = name;
    redraw(true);
  }
  function level(x, y) {
    const reach = (windows.full[1] - windows.full[0]) / 600;
    const centre = (view.low + view.high) / 2 + y * reach, width = Math.max(2, view.high - view.low + 2 * x * reach);
    view.low = centre - width / 2;
    view.high = centre + width / 2;
    control("window").value = "hand";
    redraw(true);
  }
  const brighter = (by) => level(0, view.invert ? by : -by);
  const acts = {
    fit, actual: () => zoom(1 / view.zoom), in: () => zoom(1.25), out: () => zoom(0.8),
    // for who cannot drag (WCAG 2.5.7); an arrow looks to its side, as the key does
    left: () => move(STEP, 0), right: () => move(-STEP, 0), up: () => move(0, STEP), down: () => move(0, -STEP),
    brighter: () => brighter(SHIFT), darker: () => brighter(-SHIFT), steeper: () => level(-SHIFT, 0), flatter: () => level(SHIFT, 0),
    invert() { view.invert = !view.invert; control("invert").ariaPressed = view.invert; redraw(true); },
    async heat() {
      if (!root.dataset.heat) return;
      view.heat = !view.heat;
      if (view.heat) await showHeat();
      control("heat").ariaPressed = view.heat;
      root.querySelector(".legend").hidden = !view.heat;
      root.classList.toggle("warm", view.heat);
      redraw();
    },
    help() { root.querySelector(".keys").showModal(); },
    nextWindow() {
      const names = Object.keys(windows), at = names.indexOf(control("window").value);
      pick(names[(at + 1) % names.length]);
    },
    opacity(by) { view.opacity = Math.min(1, Math.max(0.1, view.opacity + by)); control("opacity").value = 100 * view.opacity; redraw(); },
  };

  for (const button of root.querySelectorAll("button[data-do]")) button.addEventListener("click", () => image && acts[button.dataset.do]());
  control("window").addEventListener("change", (event) => pick(event.target.value));
  if (control("class")) control("class").addEventListener("change", async () => { if (view.heat) { await showHeat(); redraw(); } });
  if (control("opacity")) control("opacity").addEventListener("input", (event) => { view.opacity = event.target.value / 100; redraw(); });

  const KEYS = {
    f: "fit", 0: "fit", 1: "actual", "+": "in", "=": "in", "-": "out", i: "invert", h: "heat", "?": "help", w: "nextWindow",
  };
  // single letters can be said by who dictates: then they act on the image alone, once it was chosen
  const everywhere = control("everywhere");
  try { everywhere.checked = localStorage.getItem("keys") !== "image"; } catch { /* storage may be switched off */ }
  everywhere.addEventListener("change", () => {
    try { localStorage.setItem("keys", everywhere.checked ? "everywhere" : "image"); } catch { /* for this page, then */ }
  });
  document.addEventListener("keydown", (event) => {
    if (!image || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const onCanvas = document.activeElement === canvas;
    if (!onCanvas && !everywhere.checked) return;
    if (KEYS[key]) acts[KEYS[key]]();
    else if (key === "[" || key === "]") acts.opacity(key === "[" ? -0.1 : 0.1);
    else if (key === "n" && root.dataset.after) location.assign(root.dataset.after);
    else if (key === "p" && root.dataset.before) location.assign(root.dataset.before);
    else if (onCanvas && key.startsWith("Arrow") && event.shiftKey) {
      if (!image.colour) level({ ArrowLeft: -10, ArrowRight: 10 }[key] || 0, { ArrowUp: -10, ArrowDown: 10 }[key] || 0);
    } else if (onCanvas && key.startsWith("Arrow")) {
      acts[key.slice(5).toLowerCase()]();
    } else return;
    event.preventDefault();
  });

  // --- pointers: one drags (window; with Shift or on a zoomed touch screen: moves), two pinch
  const down = new Map();
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); down.set(event.pointerId, event); });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => down.delete(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    tell(event);
    const before = down.get(event.pointerId);
    if (!before || !image) return;
    const x = event.clientX - before.clientX, y = event.clientY - before.clientY;
    if (down.size === 2) {
      const other = [...down.values()].find((one) => one.pointerId !== event.pointerId);
      const far = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      const box = canvas.getBoundingClientRect();
      zoom(far(event) / far(before), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
      move(x / 2, y / 2);
    } else if (event.shiftKey || event.buttons === 4 || event.pointerType === "touch" || image.colour) move(x, y);
    else level(x, y);
    down.set(event.pointerId, event);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  canvas.addEventListener("dblclick", () => image && fit());

  function tell(event) {
    if (!image || image.colour) return;
    const box = canvas.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left - view.x) / view.zoom), y = Math.floor((event.clientY - box.top - view.y) / view.zoom);
    const inside = x >= 0 && y >= 0 && x < image.width && y < image.height;
    readout.textContent = inside ? `${x}, ${y}: ${image.values[y * image.width + x]}` : "";
  }

  start();
})();
