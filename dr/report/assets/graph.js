// Draws the graph that stands in #data: decode, draw what is visible, select, search, keys.
(() => {
  const [ROWS, READABLE] = [100, 0.4];
  const $ = id => document.getElementById(id);
  const data = JSON.parse($("data").textContent), text = data.texts;
  const svg = $("svg"), world = $("world"), panel = $("panel"), search = $("search");
  const place = (file, line) => line ? `${text[file]}:${line}` : text[file];
  const title = n => `${n.kind} ${n.space ? n.space + "/" : ""}${n.name}`.trim();
  const cutShort = (s, most) => s.length > most ? `${s.slice(0, most / 4)}…${s.slice(1 - most * 3 / 4)}` : s; // names differ in their ends
  const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

  function make(tag, attributes = {}, ...children) {
    const drawn = ["g", "rect", "path", "text", "title"].includes(tag);
    const element = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes))
      typeof value === "function" ? element.addEventListener(key, value) : element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  // Decode: rows of numbers to boxes that know their edges.
  function decode(name, homes) {
    const {strength, basis, origin} = data.words;
    const nodes = data[name].boxes.map(([kind, space, called, note, file, home, from, depth, line, size], id) => ({
      id, home, depth, size, view: name, kind: text[kind], space: text[space], name: text[called], note: text[note],
      where: place(file, line), origin: origin[from], needs: [], needed: [], left: [], right: [],
    }));
    const edges = data[name].links.map(([from, to, rule, reason, file, force, known, line, flags, count]) => ({
      from: nodes[from], to: nodes[to], rule: text[rule], reason: text[reason], where: place(file, line),
      strength: strength[force], basis: basis[known], cut: flags & 1, implied: flags & 2, count,
      line: flags & 1 ? "cut" : strength[force],
    }));
    for (const e of edges) e.from.needed.push(e), e.to.needs.push(e);
    for (const n of nodes) n.words = `${title(n)} ${(homes ?? nodes)[n.home]?.name} ${n.where} ${n.note}`.toLowerCase();
    return {name, nodes, edges, large: nodes.length > MANY};
  }

  // Draw: what lies in and around the window, again when it moves out of that or becomes readable.
  const units = decode("units"), views = {units, objects: decode("objects", units.nodes)};
  let view, scale = 1, labelled = 0, panX = 0, panY = 0, region, picked, from, hits = [], hit = -1, elements = new Map();
  let needs = new Set(), needed = new Set(), scheduled = false, leaving = false;
  const shown = {};
  const schedule = stale => {
    if (stale) region = null;
    if (scheduled) return;
    scheduled = true;
    // Where no frame comes, as in a window that nobody sees, it is drawn all the same.
    const draw = () => { if (scheduled) { scheduled = false; frame(); } };
    requestAnimationFrame(draw);
    setTimeout(draw, 250);
  };
  const stage = () => ({width: svg.clientWidth - (panel.hidden ? 0 : panel.offsetWidth), height: svg.clientHeight});
  const rounded = value => Math.round(value * 1000) / 1000;

  function frame() {
    if (!view || !svg.clientWidth) return;
    world.setAttribute("transform", `translate(${rounded(panX)} ${rounded(panY)}) scale(${rounded(scale)})`);
    $("depths").setAttribute("transform", `translate(0 ${rounded(-panY / scale)})`);
    const [x0, y0] = [-panX / scale, -panY / scale], [w, h] = [svg.clientWidth / scale, svg.clientHeight / scale];
    const near = scale >= READABLE, r = region;
    if (!r || near !== r.near || scale !== labelled) labels();
    if (r && near === r.near && x0 >= r.x0 && y0 >= r.y0 && x0 + w <= r.x1 && y0 + h <= r.y1 && scale < 3 * r.scale) return;
    region = {near, scale, x0: x0 - w / 4, y0: y0 - h / 4, x1: x0 + 1.25 * w, y1: y0 + 1.25 * h};
    boxes(near);
    lines();
  }

  const inside = (x0, y0, x1, y1) => x1 >= region.x0 && x0 <= region.x1 && y1 >= region.y0 && y0 <= region.y1;

  function labels() {
    labelled = scale;
    const every = Math.ceil(26 / ((W + LANE) * scale));
    const strip = make("rect", {class: "strip", x: -1e5, y: 0, width: 2e5, height: rounded(24 / scale)});
    $("depths").replaceChildren(strip, ...view.layers.filter(layer => layer.depth % every === 0).map(layer => {
      const label = layer.width * scale > 80 ? `level ${layer.depth} · ${layer.boxes.length}` : layer.depth;
      return make("text", {class: "depth", x: layer.x, y: rounded(16 / scale), "font-size": rounded(11 / scale)}, label);
    }));
  }

  function boxes(near) {
    const focused = document.activeElement, kept = new Map(), marked = new Set(hits);
    for (const n of view.order) {
      if (!inside(n.x, n.y - H, n.x + W, n.y + H) && n !== picked) continue;
      const known = elements.get(n), element = known?.near === near ? known : box(n, near);
      const role = n === picked ? "at" : needs.has(n) ? "needs" : needed.has(n) ? "needed" : "";
      element.setAttribute("class", `node ${n.origin} ${role} ${marked.has(n) ? "hit" : ""}`);
      kept.set(n, element);
    }
    elements = kept;
    $("nodes").replaceChildren(...kept.values());
    if (focused?.node && picked && focused !== document.activeElement) kept.get(picked)?.focus({preventScroll: true});
  }

  function box(n, near) {
    const about = `${title(n)}${n.origin === "git" ? "" : n.origin === "missing" ? ", not in git" : ", made by a controller"}`;
    const element = make("g", {tabindex: -1, role: "button", transform: `translate(${n.x} ${rounded(n.y - H / 2)})`,
      "aria-label": `${about}, level ${n.depth}, needs ${n.needs.length}, needed by ${n.needed.length}`, "data-id": n.id},
    make("rect", {class: near ? "box" : "box far", width: W, height: H, rx: near ? 3 : 0}));
    if (near) {
      const sub = n.view === "units" ? n.note : n.space ? `${n.kind} · ${n.space}` : n.kind;
      element.append(make("text", {class: "kind", x: 8, y: 13}, cutShort(sub, 32)),
        make("text", {class: "name", x: 8, y: 28}, cutShort(n.name, 24)), make("title", {}, `${about}\n${n.where}`));
    }
    element.node = n;
    element.near = near;
    return element;
  }

  // A path for all edges of one box in one style: small ones paint faster than one for all; shared pieces are drawn once.
  function lines() {
    const bundles = new Map();
    for (const e of view.edges) {
      const touches = e.from === picked || e.to === picked;
      const blue = picked && !e.cut && needs.has(e.from) && (e.to === picked || needs.has(e.to));
      const orange = picked && !e.cut && needed.has(e.to) && (e.from === picked || needed.has(e.from));
      if (!shown[e.line] || (e.implied && !shown.implied && !touches)) continue;
      if (view.large && !touches && !((blue || orange) && neighbour(e))) continue;
      if (!inside(...e.area)) continue;
      const style = `${blue ? "3 needs" : orange ? "2 needed" : touches ? "1" : "0"} ${e.line}`;
      const key = `${style} ${e.from.id}`;
      if (!bundles.has(key)) bundles.set(key, {style: style.slice(1), edges: []});
      bundles.get(key).edges.push(e);
    }
    const joined = parts => [...new Set(parts)].join("");
    $("edges").replaceChildren(...[...bundles.keys()].sort().flatMap(key => {
      const {style, edges} = bundles.get(key);
      return [make("path", {class: `edge ${style}`, d: joined(edges.flatMap(e => e.paths))}),
        make("path", {class: `edge tip ${style}`, d: joined(edges.map(e => e.tip))})];
    }));
  }

  const neighbour = e => [e.from, e.to].some(n => picked.needs.some(k => k.from === n) || picked.needed.some(k => k.to === n));

  function backdrop() {
    $("bands").replaceChildren(...view.layers.filter(layer => layer.depth % 2).map(layer => make("rect",
      {class: "band", x: layer.x - LANE / 2, y: -1e5, width: layer.width + LANE, height: 2e5})));
  }

  function fit(least) {
    const {width, height} = stage(), tall = view.bottom - view.top;
    scale = Math.max(least, Math.min((width - 48) / view.width, (height - 40) / tall, 1.25));
    panX = Math.max(24, (width - view.width * scale) / 2);
    panY = (height - tall * scale) / 2 - view.top * scale + 6;
    schedule(true);
  }

  function zoom(factor, x = stage().width / 2, y = stage().height / 2) {
    const next = Math.max(0.02, Math.min(4, scale * factor));
    [panX, panY] = [x - (x - panX) * next / scale, y - (y - panY) * next / scale];
    scale = next;
    schedule();
  }

  // Bring a box into the window, in a size that can be read.
  function reveal(n) {
    const {width, height} = stage(), far = scale < READABLE;
    if (far) scale = 0.9;
    const [x, y] = [panX + n.x * scale, panY + n.y * scale];
    if (!far && x > 20 && y > 50 && x + W * scale < width - 20 && y < height - 40) return;
    [panX, panY] = [width / 2 - (n.x + W / 2) * scale, height / 2 - n.y * scale];
  }

  function show(name, keep) {
    view = views[name];
    if (!view.layers) layout(view);
    for (const id of ["units", "objects"]) $(id).setAttribute("aria-pressed", id === name);
    elements = new Map();
    if (!keep) select(null);
    backdrop();
    find(false);
    $("hint").textContent = view.large ? "Many objects: edges are drawn for the selection only" : "";
    fit(0.45);
  }

  // Select: everything that the box needs, everything that needs it, and its edges in the panel.
  // A unit needs what its objects need: walking from unit to unit would also follow what has nothing to do with them.
  function walk(start, edges, end) {
    const unit = start.view === "units";
    const seen = new Set(unit ? views.objects.nodes.filter(o => o.home === start.id) : [start]);
    for (const n of seen) for (const e of n[edges]) if (!e.cut && shown[e.line]) seen.add(e[end]);
    const found = unit ? new Set([...seen].map(o => units.nodes[o.home])) : seen;
    found.delete(start);
    return found;
  }

  function select(n, {focus, seen} = {}) {
    if (n && n.view !== view?.name) show(n.view, true);
    if (n !== picked) from = picked;
    picked = n;
    needs = n ? walk(n, "needs", "from") : new Set();
    needed = n ? walk(n, "needed", "to") : new Set();
    svg.classList.toggle("picked", Boolean(n));
    describe(n);
    if (n && !seen) reveal(n);
    region = null;
    frame();
    if (n && focus) elements.get(n).focus({preventScroll: true});
  }

  function describe(n) {
    panel.hidden = !n;
    if (!n) return;
    const home = n.view === "objects" && units.nodes[n.home], unit = n.view === "units";
    const state = {git: "", derived: "Made by a controller, not in git. ", missing: "Not in git. "}[n.origin];
    const close = make("button", {class: "close", "aria-label": "Close", click: () => { select(null); svg.focus(); }}, "×");
    panel.replaceChildren(close, make("h2", {}, title(n)), make("p", {}, state, n.note), make("p", {}, make("code", {}, n.where)));
    if (home) panel.append(make("ul", {}, make("li", {}, "Unit ", jump(home))));
    section("needs", "Needs", n.needs, needs.size, e => e.from);
    section("needed", "Needed by", n.needed, needed.size, e => e.to);
    const members = unit ? views.objects.nodes.filter(o => o.home === n.id) : [];
    if (members.length) panel.append(make("h3", {}, `Objects`, make("small", {}, members.length)), listed(members, o => make("li", {}, jump(o))));
    panel.scrollTop = 0;
  }

  const jump = n => make("button", {click: () => select(n)}, n.view === "units" ? n.name : title(n));

  function section(kind, heading, edges, all, end) {
    const counts = `${plural(edges.reduce((sum, e) => sum + e.count, 0), "edge")} · ${all} in all`;
    panel.append(make("h3", {class: kind}, heading, make("small", {}, counts)), listed(edges, e => make("li", {},
      jump(end(e)), make("div", {}, make("span", {class: `tag ${e.strength}`}, e.strength), make("span", {class: "tag"}, e.basis),
        ...(e.cut ? [make("i", {class: "cut"}, "cut ")] : []), ...(e.count > 1 ? [`${plural(e.count, "edge")}, the strongest: `] : []), e.reason),
      make("code", {title: `rule ${e.rule}`}, e.where))));
  }

  function listed(items, row) {
    const list = make("ul", {}, ...items.slice(0, ROWS).map(row));
    if (items.length > ROWS) list.append(make("li", {}, make("button", {click: () => list.replaceChildren(...items.map(row))}, `Show all ${items.length}`)));
    return list;
  }

  // Search: in this view, or in the other one if only that has it.
  function find(jumpTo) {
    const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean), exact = search.value.trim().toLowerCase();
    const match = where => terms.length ? where.nodes.filter(n => terms.every(t => n.words.includes(t))) : [];
    const other = views[view.name === "units" ? "objects" : "units"];
    const close = n => n.name.toLowerCase() === exact ? 0 : n.name.toLowerCase().startsWith(exact) ? 1 : 2;
    let found = match(view), elsewhere = found.length ? [] : match(other);
    hits = (found.length ? found : elsewhere).sort((a, b) => close(a) - close(b) || a.depth - b.depth || a.id - b.id);
    hit = -1;
    $("hits").textContent = !terms.length ? "" : elsewhere.length ? `${hits.length} in ${other.name}: Enter` : plural(hits.length, "hit");
    if (jumpTo !== false) schedule(true);
  }

  function nextHit(step) {
    if (!hits.length) return;
    const [list, at] = [hits, (hit + step + hits.length) % hits.length];
    select(list[at]);
    [hits, hit] = [list, at];
    $("hits").textContent = `${at + 1} of ${list.length}`;
    schedule(true);
  }

  // Keys: Tab in drawing order, left and right along edges (back the way one came), up and down in a level.
  function step(key, n, back) {
    const nearest = list => list.includes(from) ? from : list.sort((a, b) => Math.abs(a.y - n.y) - Math.abs(b.y - n.y))[0];
    const ends = (edges, end) => edges.filter(e => shown[e.line]).map(e => e[end]);
    const beside = view.order.filter(o => o.depth === n.depth);
    return {
      Tab: () => view.order[view.order.indexOf(n) + (back ? -1 : 1)],
      ArrowLeft: () => nearest(ends(n.needs, "from")),
      ArrowRight: () => nearest(ends(n.needed, "to")),
      ArrowUp: () => beside[beside.indexOf(n) - 1],
      ArrowDown: () => beside[beside.indexOf(n) + 1],
    }[key]?.();
  }

  svg.addEventListener("keydown", event => {
    const n = document.activeElement.node, key = event.key;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (key === "Escape") {
      svg.focus();
      leaving = true;
      return select(null);
    }
    const enter = !n && !event.shiftKey && !leaving && (key === "Tab" || key.startsWith("Arrow") || key === "Enter");
    const next = enter ? picked ?? view.order[0] : n ? step(key, n, event.shiftKey) : null;
    if (next) select(next, {focus: true});
    else if (n && key === "Tab" && event.shiftKey) svg.focus();
    else if (key === "Tab" || !(n && key.startsWith("Arrow"))) return;
    event.preventDefault();
  });
  svg.addEventListener("blur", () => { leaving = false; });

  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("drawing").hidden) return;
    const typing = event.target === search;
    if (typing && event.key === "Enter") nextHit(event.shiftKey ? -1 : 1);
    else if (typing && event.key === "Escape") { search.value = ""; find(); select(null); }
    else if (typing) return;
    else if (event.key === "/") search.focus(), search.select();
    else if (event.key === "Escape") select(null);
    else if (event.key === "+" || event.key === "=") zoom(1.25);
    else if (event.key === "-") zoom(0.8);
    else if (event.key === "0") fit(0.02);
    else return;
    event.preventDefault();
  });

  // Pointer: drag to pan, click to select, wheel to zoom where the pointer is.
  let grip = null;
  svg.addEventListener("pointerdown", event => { if (!event.button) grip = {x: event.clientX, y: event.clientY, panX, panY}; });
  svg.addEventListener("pointermove", event => {
    if (!grip) return;
    const [dx, dy] = [event.clientX - grip.x, event.clientY - grip.y];
    if (!grip.moved && Math.hypot(dx, dy) < 4) return;
    if (!grip.moved) grip.moved = true, svg.setPointerCapture(event.pointerId), svg.classList.add("drag");
    [panX, panY] = [grip.panX + dx, grip.panY + dy];
    schedule();
  });
  svg.addEventListener("pointerup", event => {
    const n = event.target.closest?.(".node")?.node;
    if (grip && !grip.moved) select(n ?? null, {seen: true});
    grip = null;
    svg.classList.remove("drag");
  });
  svg.addEventListener("pointercancel", () => { grip = null; });
  svg.addEventListener("wheel", event => {
    event.preventDefault();
    const area = svg.getBoundingClientRect(), pixels = event.deltaY * (event.deltaMode ? 30 : 1);
    zoom(Math.exp(-Math.max(-240, Math.min(240, pixels)) * 0.0018), event.clientX - area.left, event.clientY - area.top);
  }, {passive: false});

  function tab(name) {
    for (const id of ["drawing", "list", "findings", "missing"]) {
      $(id).hidden = id !== name;
      $(`tab-${id}`).setAttribute("aria-pressed", id === name);
    }
    if (name === "drawing") schedule();
  }

  document.documentElement.classList.add("js");
  for (const id of ["drawing", "list", "findings", "missing"]) $(`tab-${id}`).addEventListener("click", () => tab(id));
  document.querySelector("nav").hidden = false;
  document.addEventListener("click", event => {
    const link = event.target.closest?.('a[href^="#o"]'), n = link && views.objects.nodes[link.hash.slice(2)];
    if (!n || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    tab("drawing");
    select(n);
  });
  for (const input of document.querySelectorAll("[data-line]")) {
    const update = () => { shown[input.dataset.line] = input.checked; };
    input.addEventListener("change", () => { update(); select(picked, {seen: true}); });
    update();
  }
  search.addEventListener("input", () => find());
  $("units").addEventListener("click", () => show("units"));
  $("objects").addEventListener("click", () => show("objects"));
  $("in").addEventListener("click", () => zoom(1.25));
  $("out").addEventListener("click", () => zoom(0.8));
  $("fit").addEventListener("click", () => fit(0.02));
  addEventListener("beforeprint", () => { fit(0.02); frame(); });
  tab("drawing");
  show(views.objects.nodes.length > 300 ? "units" : "objects");
  new ResizeObserver(() => schedule(true)).observe(svg);
})();
