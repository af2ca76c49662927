// What on the page a person could not read, reach or name.
() => {
  const faults = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth + 1) faults.push("scrolls sideways: " + root.scrollWidth);
  if (/&(lt|gt|amp|quot|#\w+);/.test(document.body.innerText)) faults.push("escaped twice: " + document.body.innerText.match(/.{0,20}&(lt|gt|amp|quot|#\w+);/)[0]);
  if (!root.lang) faults.push("no language");
  if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
  const boxes = [...document.querySelectorAll(".card, .verdict, .viewer, .option, .tile, .notice")].filter(e => e.checkVisibility());
  for (const e of boxes) {
    const own = e.getBoundingClientRect();
    if (e.scrollWidth > e.clientWidth + 1) faults.push("spills out of its box: " + e.textContent.trim().slice(0, 40));
    for (const other of boxes) {
      if (e === other || e.contains(other) || other.contains(e)) continue;
      const at = other.getBoundingClientRect();
      if (own.left < at.right - 1 && at.left < own.right - 1 && own.top < at.bottom - 1 && at.top < own.bottom - 1)
        faults.push("lies over another: " + e.className + " and " + other.className);
    }
  }
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
  if (new Set(ids).size !== ids.length) faults.push("an id stands twice");
  const seen = e => e.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  for (const e of document.querySelectorAll("button, a, input:not([type=hidden]), select, textarea, summary")) {
    const named = e.textContent.trim() || e.getAttribute("aria-label") || (e.labels && [...e.labels].some(l => l.textContent.trim()));
    if (!named && e.id !== "image") faults.push("no name: " + e.outerHTML.slice(0, 80));
  }
  for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt")) faults.push("no alt: " + e.src);
  const parse = text => { const n = text.match(/[\d.]+/g).map(Number);
    if (text.startsWith("color(srgb")) return [n[0] * 255, n[1] * 255, n[2] * 255, n.length > 3 ? n[3] : 1];
    return [n[0], n[1], n[2], n.length > 3 ? n[3] : 1]; };
  const ground = e => { for (let at = e; at; at = at.parentElement) { const c = parse(getComputedStyle(at).backgroundColor); if (c[3] > 0.99) return c; } return [255, 255, 255, 1]; };
  const light = c => { const v = c.slice(0, 3).map(x => { x /= 255; return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
  for (const e of document.querySelectorAll("body *")) {
    const text = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!text || !seen(e) || e.closest("[disabled], option, canvas, script")) continue;
    const style = getComputedStyle(e), a = light(parse(style.color)), b = light(ground(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) faults.push("contrast " + ratio.toFixed(2) + ": " + e.textContent.trim().slice(0, 40));
  }
  return faults;
}
