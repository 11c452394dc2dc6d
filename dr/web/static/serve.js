"use strict";
// Without this the pages say the same, and are reloaded to say more.
const SHOWN = 400, STREAMS = 4, EVERY = 5000, HERD_EVERY = 2000;

function follow(article) {
  const part = (name) => article.querySelector(`[data-live="${name}"]`);
  const [state, course, how] = ["state", "line", "how"].map(part);
  const run = encodeURIComponent(article.dataset.run);
  const source = new EventSource(`/live/${run}?after=${Number(article.dataset.after)}`);
  const box = course.parentElement;
  const bottom = () => { box.scrollTop = box.scrollHeight; };
  bottom();
  source.addEventListener("open", () => { how.textContent = "Followed as it happens."; });
  source.addEventListener("error", () => { how.textContent = "The connection was lost; trying again."; });
  source.addEventListener("line", (event) => {
    const follows = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    const line = document.createElement("li");
    line.value = Number(event.lastEventId);
    line.textContent = event.data;
    course.append(line);
    while (course.childElementCount > SHOWN) course.firstElementChild.remove();
    if (follows) bottom();
  });
  // Drawn by the server, with every text in it escaped.
  source.addEventListener("state", (event) => { state.innerHTML = event.data; });
  source.addEventListener("end", () => {
    source.close();
    how.textContent = "It is over.";
    article.dataset.over = "";
  });
}

// A browser keeps six connections to a server; some are left for everything else.
const articles = [...document.querySelectorAll("article.live")];
articles.slice(0, STREAMS).forEach(follow);

const now = document.getElementById("now");
if (now) {
  setInterval(async () => {
    const answer = await fetch("/api/now").catch(() => null);
    if (!answer || !answer.ok) return;
    const runs = (await answer.json()).running.map((found) => found.picture.run);
    const shown = new Set(articles.map((article) => article.dataset.run));
    if (runs.some((run) => !shown.has(run))) location.reload();
  }, EVERY);
}

// A herd that goes on: its part of the page is put in the place of the old one, and who was somewhere in it stays there.
const reached = (part) => [...part.querySelectorAll("a, [tabindex]")];
const wide = (part) => [...part.querySelectorAll(".wide")];
const herd = document.querySelector("#fresh[data-going]");
if (herd) {
  let before = "";
  const timer = setInterval(async () => {
    const answer = await fetch(location.href).catch(() => null);
    const text = answer && answer.ok ? await answer.text() : before;
    if (text === before) return;
    before = text;
    const old = document.getElementById("fresh");
    const found = new DOMParser().parseFromString(text, "text/html").getElementById("fresh");
    if (!found) return;
    const at = reached(old).indexOf(document.activeElement), scrolled = wide(old).map((part) => part.scrollLeft);
    old.replaceWith(found);
    wide(found).forEach((part, number) => { part.scrollLeft = scrolled[number] || 0; });
    reached(found)[at]?.focus({ preventScroll: true });
    if (!("going" in found.dataset)) clearInterval(timer);
  }, HERD_EVERY);
}
