"use strict";
// A read that waits: ask until it has ended, then show it.
const page = document.getElementById("waiting");
async function ask(pause) {
  try {
    const answer = await fetch(page.dataset.state + "?wait=1", { headers: { Accept: "application/json" } });
    if (answer.ok && !(await answer.json()).pending) return location.reload();
    if (answer.status === 404 || answer.redirected) return location.reload(); // deleted, or logged out, elsewhere
  } catch { /* the network may come back */ }
  setTimeout(ask, pause, Math.min(pause * 1.5, 10000));
}
if (page) ask(700);
