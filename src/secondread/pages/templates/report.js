"use strict";
(() => {
  const key = (row, column) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();
  const missing = (text) => ["", "nan", "–"].includes(text);
  const number = (text) => Number(text.replace("inf", "Infinity"));
  const order = (texts) => texts.every((text) => missing(text) || !Number.isNaN(number(text)))
    ? (a, b) => number(a) - number(b) : (a, b) => a.localeCompare(b, undefined, { numeric: true });
  const sort = (head) => {
    const table = head.closest("table"), column = head.cellIndex, body = table.tBodies[0];
    const falling = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const rows = [...body.rows].map((row) => [key(row, column), row]);
    const compare = order(rows.map(([text]) => text)), sign = falling ? -1 : 1;
    rows.sort(([a], [b]) => missing(a) || missing(b) ? missing(a) - missing(b) : sign * compare(a, b));
    body.append(...rows.map(([, row]) => row));
  };
  for (const head of document.querySelectorAll("th[aria-sort]")) {
    head.tabIndex = 0;
    head.addEventListener("click", () => sort(head));
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(head); }
    });
  }

  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));

  const source = document.getElementById("case-data");
  if (!source) return;
  const { classes, cases, exclusive } = JSON.parse(source.textContent);
  const list = document.getElementById("case-list"), told = document.getElementById("case-count");
  const fields = ["f-right", "f-truth", "f-decision", "f-name", "f-order"].map((id) => document.getElementById(id));
  const [right, truth, decision, name, by] = fields;
  const PAGE = 24;
  let page = 0;
  const make = (tag, kind, text) => {
    const made = document.createElement(tag);
    if (kind) made.className = kind;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const names = (which) => which.map((k) => classes[k]).join(", ") || "none";
  const truths = (one) => {
    if (!one.unknown.length) return names(one.true);
    return (one.true.length ? `${names(one.true)}; ` : "") + `not known: ${names(one.unknown)}`;
  };
  const named = (id) => {
    const made = make("h4");
    for (const piece of id.split(/(?<=[/_-])/)) made.append(piece, document.createElement("wbr"));
    return made;
  };
  const card = (one) => {
    const made = make("li", one.ok === false ? "case wrong" : "case");
    if (one.image) {
      const image = make("img");
      image.src = one.image; image.alt = ""; image.loading = "lazy";
      made.append(image);
    } else made.append(make("div", "noimage"));
    const words = make("div");
    words.append(named(one.id), make("div", "", `read: ${names(one.read)}`), make("div", "truth", `true: ${truths(one)}`));
    made.append(words);
    const bars = make("div", "bars");
    one.p.forEach((p, k) => {
      const track = make("span", "track"), fill = make("i");
      if (p !== null) fill.style.width = `${100 * p}%`;
      track.append(fill);
      bars.append(make("span", "", classes[k]), track, make("span", "share", p === null ? "–" : `${(100 * p).toFixed(0)} %`));
    });
    made.append(bars);
    return made;
  };
  const chosen = () => {
    const wanted = name.value.toLowerCase();
    const kept = cases.filter((one) =>
      (right.value === "" || String(one.ok) === right.value) &&
      (truth.value === "" || one.true.includes(Number(truth.value))) &&
      (decision.value === "" || one.read.includes(Number(decision.value))) &&
      (wanted === "" || one.id.toLowerCase().includes(wanted)));
    const sign = by.value === "unsure" ? 1 : -1;
    return by.value === "name" ? kept : kept.sort((a, b) => sign * (a.sure - b.sure));
  };
  const show = () => {
    const kept = chosen(), pages = Math.max(1, Math.ceil(kept.length / PAGE));
    page = Math.min(page, pages - 1);
    list.replaceChildren(...kept.slice(page * PAGE, page * PAGE + PAGE).map(card));
    told.textContent = `${kept.length} of ${cases.length} cases, page ${page + 1} of ${pages}`;
    document.getElementById("f-back").disabled = page === 0;
    document.getElementById("f-next").disabled = page >= pages - 1;
  };
  for (const field of fields) field.addEventListener("input", () => { page = 0; show(); });
  document.getElementById("f-back").addEventListener("click", () => { page -= 1; show(); });
  document.getElementById("f-next").addEventListener("click", () => { page += 1; show(); });
  if (!exclusive) right.options[1].textContent = "every known label right";
  show();
})();
