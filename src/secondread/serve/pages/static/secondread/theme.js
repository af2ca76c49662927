"use strict";
// Before anything is painted: the choice of light or dark made earlier in this browser.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* storage may be switched off */ }
