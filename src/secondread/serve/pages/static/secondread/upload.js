"use strict";
// Choosing, dropping and pasting images; each is sent on its own, so that one bad file does not hold up the rest.
(() => {
  const form = document.getElementById("upload");
  if (!form) return;
  const input = document.getElementById("image");
  const drop = document.getElementById("drop");
  const list = document.getElementById("progress");
  const send = document.getElementById("send");
  const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
  form.classList.add("live");
  let busy = false;

  input.addEventListener("change", () => take([...input.files]));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.files.length) take([...input.files]); else input.click();
  });
  for (const name of ["dragenter", "dragover"]) {
    addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData || {}).files || []];
    if (files.length) { event.preventDefault(); take(files); }
  });

  async function take(files) {
    if (busy || !files.length) return;
    busy = true;
    send.disabled = true;
    list.replaceChildren();
    const rows = files.map((file) => row(file.name));
    const done = [];
    let refused = 0;
    for (let at = 0; at < files.length; at++) {
      const answer = await sendOne(files[at], rows[at]);
      if (answer) { done.push(...answer.reads); refused += answer.refused.length; } else refused++;
    }
    busy = false;
    send.disabled = false;
    input.value = "";
    if (done.length === 1 && !refused) location.assign(done[0].url);
    else if (done.length && !refused) location.assign("/reads/");
  }

  async function sendOne(file, line) {
    const body = new FormData();
    body.append("bundle", new FormData(form).get("bundle"));
    body.append("image", file, file.name);
    for (let attempt = 0; attempt < 20; attempt++) {
      tell(line, "busy", "reading…");
      let answer, said;
      try {
        answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json", "X-CSRFToken": token } });
        said = await answer.json();
      } catch {
        tell(line, "bad", "the site does not answer; please try again");
        return null;
      }
      if (answer.status === 503) {
        const pause = Number(answer.headers.get("Retry-After")) || 3;
        tell(line, "busy", "waiting for a free place…");
        await new Promise((go) => setTimeout(go, 1000 * pause));
        continue;
      }
      if (!said.reads) { tell(line, "bad", said.detail || "not taken"); return null; }
      for (const refusal of said.refused) {
        tell(said.reads.length ? row(refusal.label) : line, "bad", "not taken: " + refusal.reason);
      }
      if (said.reads.length) {
        tell(line, "good", said.reads.length > 1 ? said.reads.length + " images" : "taken");
        const link = document.createElement("a");
        link.href = said.url;
        link.textContent = "Show";
        line.append(link);
      }
      return said;
    }
    tell(line, "bad", "the site is busy; please try again later");
    return null;
  }

  function row(name) {
    const line = document.createElement("li");
    line.append(document.createElement("strong"), document.createElement("span"));
    line.firstChild.textContent = name;
    list.append(line);
    return line;
  }

  function tell(line, kind, words) {
    line.className = kind;
    line.children[1].textContent = words;
  }

  // the choice about names is kept at once, so that it holds for files that are dropped
  const names = form.querySelector("[name=keep_names]");
  names.addEventListener("change", () => {
    const body = new FormData();
    if (names.checked) body.append("keep_names", "on");
    fetch("/account/choices", { method: "POST", body, headers: { Accept: "application/json", "X-CSRFToken": token } });
  });
})();
