// The graph: namespaces as boxes, their pods in them, and the connections that policies allow.

const MOST_NODES = 160;
const MOST_EDGES = 1500;
const graphPlace = document.getElementById("graph-view");
const NODE_HEIGHT = 26;
const graph = { svg: null, view: finest, nodes: [], edges: [], chosen: null, box: null, whole: null, redraw: null };

function shorten(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

// A policy has a say if either side is isolated; and if it is not, the connection is nothing to draw.
function isDrawn(from, to, cell) {
  if (shareOf(cell, filter.port) === "none" || cell.share === "inapplicable") return false;
  return from.egress > 0 || to.ingress > 0;
}

// All addresses outside, for what makes no difference between them.
const ANYWHERE = { index: -1, name: "any address", full: "any address", pods: 0, ingress: 0, egress: 0, text: "" };

function outsideOf(view) {
  view.outside ??= view.ends.filter((end) => end.namespace === undefined);
  return view.outside;
}

// The first range outside that can be asked about a pod, to stand for all.
function outsideFor(view, end) {
  const applies = (range) => view.cell(range, end).share !== "inapplicable";
  return outsideOf(view).find(applies);
}

// What connects an end to, or from, everything outside alike: a cell, or null.
function anywhere(view, end, direction) {
  const cells = outsideOf(view)
    .map((range) => (direction === "ingress" ? view.cell(range, end) : view.cell(end, range)))
    .filter((cell) => cell.share !== "inapplicable");
  const [first] = cells;
  return first && first.share !== "none" && cells.every((cell) => sameCell(cell, first)) ? first : null;
}

// The cell of two ends, of which one may be anywhere.
function graphCell(view, from, to) {
  if (from === ANYWHERE) return anywhere(view, to, "ingress") ?? NOTHING;
  if (to === ANYWHERE) return anywhere(view, from, "egress") ?? NOTHING;
  return view.cell(from, to);
}

// What is open to all addresses is open to pods as well, which need no lines of their own; the same way out.
function chooseEdges(view, ends, core) {
  const open = {
    ingress: new Map(ends.map((end) => [end, anywhere(view, end, "ingress")])),
    egress: new Map(ends.map((end) => [end, anywhere(view, end, "egress")])),
  };
  // Somebody who asks for a range outside wants to see it.
  const asked = new Set(isFiltered() ? outsideOf(view).filter((end) => core.has(end)) : []);
  const edges = [];
  const add = (from, to, cell) => {
    if (edges.length < MOST_EDGES && isDrawn(from, to, cell)) edges.push({ from, to, cell });
  };
  for (const to of ends) if (core.has(to) && to.namespace !== undefined && open.ingress.get(to)) add(ANYWHERE, to, open.ingress.get(to));
  for (const from of ends) if (core.has(from) && from.namespace !== undefined && open.egress.get(from)) add(from, ANYWHERE, open.egress.get(from));
  for (const from of ends) {
    for (const to of ends) {
      if (from === to || (!core.has(from) && !core.has(to))) continue;
      const cell = view.cell(from, to);
      const intoOpen = from.egress === 0 && sameCell(open.ingress.get(to), cell);
      const outOfOpen = to.ingress === 0 && sameCell(open.egress.get(from), cell);
      if (asked.has(from) || asked.has(to) || (!intoOpen && !outOfOpen)) add(from, to, cell);
    }
  }
  return edges;
}

// What is outside is there twice: as a source on one side, as a destination on the other.
function nodeId(end, side) {
  return end.namespace === undefined ? `${side} ${end.index}` : `pods ${end.index}`;
}

function chooseView() {
  const fits = (view) => view.ends.filter(matchesEnd).length <= MOST_NODES;
  return fits(finest) || coarse === finest ? finest : coarse;
}

function collect() {
  graph.view = chooseView();
  const { view } = graph;
  const matching = isFiltered() ? view.ends.filter(matchesEnd) : view.ends;
  const core = new Set(matching.slice(0, MOST_NODES));
  const edges = chooseEdges(view, isFiltered() ? view.ends : matching.slice(0, MOST_NODES), core);
  const near = new Set([...core, ...edges.flatMap(({ from, to }) => [from, to])]);
  const nodes = new Map();
  const add = (end, side) => {
    const id = nodeId(end, side);
    if (nodes.has(id)) return;
    const label = shorten(view.grain === "namespaces" ? end.full : end.name, 26);
    const count = end.pods > 1 ? ` ×${end.pods}` : "";
    const text = label + count;
    nodes.set(id, { id, end, side, text, width: Math.round(text.length * 6.7 + 22), height: NODE_HEIGHT, group: groupOf(end, side) });
  };
  for (const end of view.ends) if (near.has(end) && end.namespace !== undefined) add(end, "pods");
  for (const { from, to } of edges) {
    if (from.namespace === undefined) add(from, "from");
    if (to.namespace === undefined) add(to, "to");
  }
  graph.nodes = [...nodes.values()];
  graph.edges = edges.map((edge) => ({ ...edge, source: nodes.get(nodeId(edge.from, "from")), target: nodes.get(nodeId(edge.to, "to")) }));
  return { left: matching.length - core.size, cut: edges.length >= MOST_EDGES };
}

function groupOf(end, side) {
  if (end.namespace !== undefined) return graph.view.grain === "namespaces" ? "Namespaces" : end.namespace;
  return side === "from" ? "From outside" : "To outside";
}

function place() {
  const groups = new Map();
  for (const node of graph.nodes) {
    if (!groups.has(node.group)) groups.set(node.group, { id: node.group, nodes: [] });
    groups.get(node.group).nodes.push(node);
  }
  for (const group of groups.values()) {
    const links = graph.edges.filter((edge) => edge.source.group === group.id && edge.target.group === group.id);
    const size = layered(group.nodes, links.map((edge) => ({ from: edge.source.id, to: edge.target.id })), { x: 52, y: 14 }, 520);
    group.width = Math.max(size.width, group.id.length * 7.2) + 32;
    group.height = size.height + 52;
  }
  const links = new Map();
  for (const { source, target } of graph.edges) links.set(`${source.group} ${target.group}`, { from: source.group, to: target.group });
  const boxes = [...groups.values()];
  const size = layered(boxes, [...links.values()], { x: 72, y: 32, centre: true }, 720);
  for (const group of boxes) {
    for (const node of group.nodes) {
      node.x += group.x + 16;
      node.y += group.y + 36;
    }
  }
  graph.whole = { x: -24, y: -24, width: size.width + 48, height: size.height + 48 };
  return boxes;
}

function edgePath({ source, target }) {
  const [y1, y2] = [source.y + source.height / 2, target.y + target.height / 2];
  const x1 = source.x + source.width;
  if (target.x > x1) {
    const bend = Math.max(28, (target.x - x1) * 0.45);
    return `M${x1} ${y1}C${x1 + bend} ${y1} ${target.x - bend - 6} ${y2} ${target.x - 6} ${y2}`;
  }
  // Back, or within a column: round the right side of both.
  const end = target.x + target.width;
  const bend = 36 + Math.min(60, Math.abs(y2 - y1) * 0.2);
  return `M${x1} ${y1}C${x1 + bend} ${y1} ${end + bend + 6} ${y2} ${end + 6} ${y2}`;
}

function arrowPath({ source, target }) {
  const y = target.y + target.height / 2;
  if (target.x > source.x + source.width) return `M${target.x} ${y}l-8 -4v8z`;
  return `M${target.x + target.width} ${y}l8 -4v8z`;
}

function drawNode(node, index) {
  const { end } = node;
  const open = end.namespace !== undefined && end.ingress === 0;
  const element = draw("g", {
    class: `node${open ? " open" : ""}`,
    role: "button",
    tabindex: index === 0 ? "0" : "-1",
    "aria-label": `${end.full}, ${end.namespace === undefined ? "outside the cluster" : `${counted(end.pods, "pod")}${open ? ", not isolated for ingress" : ""}`}`,
    transform: `translate(${node.x} ${node.y})`,
    onclick: () => chooseNode(node),
  },
  draw("rect", { width: node.width, height: node.height, rx: 4 }),
  draw("text", { x: 11, y: 17 }, node.text));
  node.element = element;
  return element;
}

function drawEdge(edge) {
  const every = shareOf(edge.cell, filter.port) === "all";
  edge.line = draw("path", { class: `edge${every ? " every" : ""}`, d: edgePath(edge) });
  edge.arrow = draw("path", { class: "arrow", d: arrowPath(edge) });
  return [edge.line, edge.arrow];
}

function renderGraph() {
  clearTimeout(graph.redraw);
  graph.redraw = null;
  const { left, cut } = collect();
  const boxes = place();
  graph.chosen = null;
  const notes = [];
  if (graph.view.grain === "namespaces" && finest.grain !== "namespaces") notes.push("Namespaces as nodes, as there are too many classes of pods; filter to see these.");
  if (left > 0) notes.push(`Showing the first ${MOST_NODES} of ${MOST_NODES + left}; filter to see others.`);
  if (cut) notes.push(`The first ${MOST_EDGES} connections are drawn.`);
  if (!graph.nodes.length) {
    graphPlace.replaceChildren(make("p", { class: "empty" }, whyEmpty()));
    return;
  }
  graph.edgeLayer = draw("g", {}, graph.edges.flatMap(drawEdge));
  graph.extraLayer = draw("g", {});
  graph.labelLayer = draw("g", { "aria-hidden": "true" });
  graph.svg = draw("svg", { role: "group", "aria-label": "Graph of allowed connections; arrow keys move between nodes", onkeydown: graphKey },
    draw("g", {}, boxes.map((group) => draw("g", { class: "group", "aria-hidden": "true" },
      draw("rect", { x: group.x, y: group.y, width: group.width, height: group.height, rx: 8 }),
      draw("text", { x: group.x + 16, y: group.y + 22 }, group.id)))),
    graph.edgeLayer, graph.extraLayer,
    draw("g", {}, graph.nodes.map(drawNode)),
    graph.labelLayer);
  const button = (words, label, action) => make("button", { type: "button", class: "plain", "aria-label": label, onclick: action }, words);
  graph.canvas = make("div", { class: "canvas" }, graph.svg, make("div", { class: "buttons" },
    button("+", "Zoom in", () => zoom(0.8)), button("−", "Zoom out", () => zoom(1.25)), button("Fit", "Show all", fit)));
  const toolbar = notes.length ? [make("p", { class: "note", role: "status" }, notes.join(" "))] : [];
  graphPlace.replaceChildren(...toolbar, graph.canvas);
  frame();
  listenToPointers();
}

function chooseNode(node) {
  const { view } = graph;
  clearChoice();
  graph.chosen = node;
  const near = new Set([node]);
  graph.canvas.classList.add("choosing");
  for (const edge of graph.edges) {
    if (edge.source !== node && edge.target !== node) continue;
    near.add(edge.source).add(edge.target);
    edge.line.classList.add("chosen");
    edge.arrow.classList.add("chosen");
    label(edge, node);
  }
  // The lines that say nothing new are drawn for the chosen node only.
  const drawn = new Set(graph.edges.map((edge) => `${edge.source.id} ${edge.target.id}`));
  for (const other of graph.nodes) {
    for (const [source, target] of [[node, other], [other, node]]) {
      if (other === node || source.side === "to" || target.side === "from") continue;
      const cell = graphCell(view, source.end, target.end);
      const share = shareOf(cell, filter.port);
      if (share === "none" || share === "inapplicable" || drawn.has(`${source.id} ${target.id}`)) continue;
      near.add(other);
      const edge = { source, target, cell };
      const parts = drawEdge(edge);
      parts.forEach((part) => part.classList.add("chosen", "implied"));
      graph.extraLayer.append(...parts);
    }
  }
  for (const other of near) other.element.classList.add("near");
  node.element.classList.add("chosen");
  const real = (end, other) => (end === ANYWHERE ? outsideFor(view, other) : end);
  const openOther = (from, to) => openPair(view, real(from, to), real(to, from), graphClosed);
  showDetails(node.end.full, endDetails({ ...view, cell: (from, to) => graphCell(view, from, to) }, node.end, openOther), graphClosed);
  bring(node);
}

// The ports, beside the other node, where they are in nobody's way.
function label(edge, node) {
  const { source, target, cell } = edge;
  const other = source === node ? target : source;
  const right = source === other || target.x <= source.x + source.width;
  const x = right ? other.x + other.width + 10 : other.x - 10;
  const y = other.y + other.height / 2 + (source === other ? 12 : -4);
  graph.labelLayer.append(draw("text", { class: `label ${right ? "right" : "left"}`, x, y }, cell.short));
}

function clearChoice() {
  graph.canvas?.classList.remove("choosing");
  graph.extraLayer?.replaceChildren();
  graph.labelLayer?.replaceChildren();
  graph.canvas?.querySelectorAll(".chosen, .near").forEach((element) => element.classList.remove("chosen", "near"));
}

function graphClosed(refocus) {
  const node = graph.chosen;
  graph.chosen = null;
  clearChoice();
  if (refocus && node?.element.isConnected) node.element.focus();
}

const DIRECTIONS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

function graphKey(event) {
  const here = graph.nodes.find((node) => node.element === event.target.closest(".node"));
  if (!here) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    chooseNode(here);
    return;
  }
  if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 0.8 : 1.25);
  if (event.key === "0") fit();
  const direction = DIRECTIONS[event.key];
  if (!direction) return;
  event.preventDefault();
  const next = nearest(here, direction);
  if (!next) return;
  here.element.setAttribute("tabindex", "-1");
  next.element.setAttribute("tabindex", "0");
  next.element.focus({ preventScroll: true });
  bring(next);
}

// The nearest node that way; what is off to the side counts double.
function nearest(here, [dx, dy]) {
  let best = null;
  for (const node of graph.nodes) {
    const [x, y] = [node.x + node.width / 2 - here.x - here.width / 2, node.y - here.y];
    const ahead = x * dx + y * dy;
    if (node === here || ahead <= 1) continue;
    const distance = ahead + 2 * Math.abs(x * dy + y * dx);
    if (!best || distance < best.distance) best = { node, distance };
  }
  return best?.node;
}

// Drawing takes longer than a letter to type: it waits for a pause.
const PAUSE = 150;
filterListeners.push(() => {
  clearTimeout(graph.redraw);
  graph.redraw = setTimeout(renderGraph, PAUSE);
});
