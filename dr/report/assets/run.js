"use strict";
// Comfort only: a filter over the objects, all of them opened at once, and all of them open on paper.
const units = [...document.querySelectorAll(".gantt details")];
const find = document.getElementById("find");
if (find && units.length) {
  const input = find.querySelector("input");
  const output = find.querySelector("output");
  const rows = units.map((unit) => [unit, [...unit.querySelectorAll("tbody tr")].map((row) => [row, row.textContent.toLowerCase()])]);
  let waiting = 0;
  const look = () => {
    const wanted = input.value.trim().toLowerCase();
    let found = 0;
    for (const [unit, own] of rows) {
      let here = 0;
      for (const [row, text] of own) {
        const fits = text.includes(wanted);
        row.hidden = !fits;
        here += fits;
      }
      unit.hidden = !here;
      unit.open = wanted !== "" && here > 0;
      found += here;
    }
    output.textContent = wanted ? `${found} found` : "";
  };
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(look, 120);
  });
  const all = find.querySelector("button");
  all.addEventListener("click", () => {
    const open = all.getAttribute("aria-pressed") !== "true";
    all.setAttribute("aria-pressed", open);
    all.textContent = open ? "Close all" : "Open all";
    for (const unit of units) unit.open = open;
  });
  find.hidden = false;
}
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const each of closed) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of closed) each.open = false;
});
