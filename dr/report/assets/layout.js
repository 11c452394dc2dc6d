"use strict";
// Gives each box a place (left, middle) and each edge a path: what is needed first stands at the left.
const [W, H, LANE, MANY] = [196, 36, 72, 2000];
const mean = (list, value) => list.reduce((sum, item) => sum + value(item), 0) / list.length;

// Lay out: a column (or several) for each depth; edges over several depths bend between the boxes they pass.
function layout(view) {
  const layers = [], bends = new Map();
  const put = item => ((layers[item.depth] ??= []).push(item), item);
  const join = (a, b) => (a.right.push(b), b.left.push(a));
  view.nodes.forEach(put);
  for (const e of view.edges) {
    e.via = [];
    if (e.cut || e.implied || e.to.depth <= e.from.depth) continue;
    let last = e.from;
    for (let depth = last.depth + 1; depth < e.to.depth && !view.large; depth++) {
      const key = `${e.from.id} ${depth}`, known = bends.get(key);
      const bend = known ?? put({depth, bend: true, left: [], right: []});
      if (!known) bends.set(key, bend), join(last, bend);
      e.via.push(last = bend);
    }
    join(last, e.to);
  }
  order(layers, view.large);
  const gap = view.nodes.length > 60 ? 10 : 20, pitch = H + gap, column = W + 10;
  const rows = Math.max(26, Math.round(Math.sqrt(view.nodes.length * column / pitch / 1.7)));
  let x = 0;
  view.layers = layers.map((items, depth) => {
    const boxes = items.filter(item => !item.bend), columns = Math.ceil(boxes.length / rows);
    const layer = {items, boxes, columns, depth, x, pitch, width: columns * column - 10};
    const height = Math.ceil(boxes.length / columns) * pitch;
    boxes.forEach((box, i) => {
      box.x = x + (i % columns) * column;
      box.y = Math.floor(i / columns) * pitch - height / 2;
    });
    items.forEach((item, i) => { if (item.bend) item.y = i / items.length * height - height / 2; });
    x += layer.width + LANE;
    return layer;
  });
  if (!view.large) for (let pass = 0; pass < 14; pass++) {
    const sides = pass > 11 ? ["left", "right"] : [pass % 2 ? "right" : "left"];
    for (const layer of pass % 2 ? [...view.layers].reverse() : view.layers) settle(layer, sides);
  }
  for (const e of view.edges) route(e, view.layers);
  view.order = [...view.nodes].sort((a, b) => a.depth - b.depth || a.y - b.y || a.x - b.x);
  const ys = view.nodes.map(n => n.y);
  view.top = ys.reduce((a, b) => Math.min(a, b), 0) - H - 24;
  view.bottom = ys.reduce((a, b) => Math.max(a, b), 0) + H;
  view.width = Math.max(W, x - LANE);
}

// Fewer crossings: each box goes to the mean place (barycentre) of its neighbours, from both sides in turn.
function order(layers, large) {
  const rank = layer => layer.forEach((item, i) => { item.rank = (i + 0.5) / layer.length; });
  for (const layer of layers) {
    if (large) layer.sort((a, b) => a.home - b.home || (a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : a.id - b.id));
    rank(layer);
  }
  for (let pass = 0; pass < 16 && !large; pass++) {
    const side = pass % 2 ? "right" : "left";
    for (const layer of pass % 2 ? [...layers].reverse() : layers) {
      for (const item of layer) {
        const near = item[side];
        item.pull = near.length ? mean(near, n => n.rank) : item.left.length + item.right.length ? item.rank : 2;
      }
      rank(layer.sort((a, b) => a.pull - b.pull));
    }
  }
}

// Heights nearest to those of the neighbours that keep order and distance (isotonic regression, pooling violators).
function settle({items, columns, pitch}, sides) {
  const wish = item => {
    const near = sides.flatMap(side => item[side]);
    return near.length ? mean(near, n => n.y) : item.y;
  };
  if (columns > 1) return items.forEach(item => { if (item.bend) item.y = wish(item); });
  const blocks = [];
  let offset = 0, before = 0;
  for (const item of items) {
    const half = item.bend ? 7 : pitch / 2;
    offset += before + half;
    before = half;
    item.offset = offset;
    let block = {sum: wish(item) - offset, items: [item]};
    while (blocks.length && blocks.at(-1).sum / blocks.at(-1).items.length > block.sum / block.items.length) {
      const upper = blocks.pop();
      block = {sum: upper.sum + block.sum, items: upper.items.concat(block.items)};
    }
    blocks.push(block);
  }
  for (const {sum, items: members} of blocks)
    for (const item of members) item.y = sum / members.length + item.offset;
}

function route(e, layers) {
  const curve = (x0, y0, x1, y1) => {
    const reach = x1 > x0 ? (x1 - x0) / 2 : 80 + (x0 - x1) / 3;
    return `C${x0 + reach} ${y0} ${x1 - reach} ${y1} ${x1} ${y1}`;
  };
  let x = e.from.x + W, y = Math.round(e.from.y), ys = [y, e.to.y];
  e.paths = [];
  for (const bend of e.via) {
    const layer = layers[bend.depth], next = Math.round(bend.y);
    e.paths.push(`M${x} ${y}${curve(x, y, layer.x, next)}H${layer.x + layer.width}`);
    [x, y] = [layer.x + layer.width, next];
    ys.push(next);
  }
  const [tipX, tipY] = [e.to.x, Math.round(e.to.y)];
  e.paths.push(`M${x} ${y}${curve(x, y, tipX - 6, tipY)}`);
  e.tip = `M${tipX} ${tipY}l-8-3.5v7z`;
  e.area = [Math.min(e.from.x, tipX), Math.min(...ys), Math.max(e.from.x, tipX) + W, Math.max(...ys)];
}

