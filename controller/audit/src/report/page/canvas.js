// Moving over the drawing of the graph: what is in sight of it, by buttons, pointers and for a node that is chosen.

function setBox(box) {
  graph.box = box;
  graph.svg.setAttribute("viewBox", `${box.x} ${box.y} ${box.width} ${box.height}`);
}

function fit() {
  setBox({ ...graph.whole });
}

// As high as the drawing at its full width, within bounds; on a narrow screen large enough to be read, from the left.
function frame() {
  const width = graph.canvas.clientWidth;
  const { whole } = graph;
  const height = Math.max(240, Math.min(620, whole.height * Math.min(1.15, width / whole.width)));
  graph.svg.style.height = `${Math.round(height)}px`;
  const units = Math.max(whole.width / width, whole.height / height);
  if (units <= 1.6) fit();
  else setBox({ x: whole.x, y: whole.y + (whole.height - height * 1.3) / 2, width: width * 1.3, height: height * 1.3 });
}

function zoom(factor, at = { x: 0.5, y: 0.5 }) {
  const { box, whole } = graph;
  const width = Math.min(whole.width * 3, Math.max(160, box.width * factor));
  const scale = width / box.width;
  setBox({
    x: box.x + box.width * at.x * (1 - scale),
    y: box.y + box.height * at.y * (1 - scale),
    width,
    height: box.height * scale,
  });
}

// How many units of the drawing a pixel of the screen is.
function unitsPerPixel() {
  const frame = graph.svg.getBoundingClientRect();
  return Math.max(graph.box.width / frame.width, graph.box.height / frame.height);
}

function listenToPointers() {
  const { svg } = graph;
  let held = null;
  svg.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && !event.target.closest(".node")) held = { x: event.clientX, y: event.clientY, box: graph.box };
  });
  svg.addEventListener("pointermove", (event) => {
    if (!held) return;
    svg.classList.add("held");
    svg.setPointerCapture(event.pointerId);
    const units = unitsPerPixel();
    setBox({ ...held.box, x: held.box.x - (event.clientX - held.x) * units, y: held.box.y - (event.clientY - held.y) * units });
  });
  const release = () => {
    held = null;
    svg.classList.remove("held");
  };
  svg.addEventListener("pointerup", release);
  svg.addEventListener("pointercancel", release);
  // A wheel scrolls the page; with Ctrl, as everywhere, it zooms.
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const frame = svg.getBoundingClientRect();
    zoom(event.deltaY > 0 ? 1.15 : 0.87, { x: (event.clientX - frame.x) / frame.width, y: (event.clientY - frame.y) / frame.height });
  }, { passive: false });
}

// Moves the drawing, and the page, so that a node is in the part of them that nothing covers.
function bring(node) {
  const gap = 16;
  const away = (first, last, from, to) => {
    if (first < from) return first - from - gap;
    return last > to ? Math.min(last - to + gap, first - from - gap) : 0;
  };
  const canvas = graph.svg.getBoundingClientRect();
  const panel = details.open ? details.getBoundingClientRect() : null;
  const beside = panel && panel.width < innerWidth * 0.75;
  const right = beside ? Math.min(canvas.right, panel.left) : canvas.right;
  const shown = node.element.getBoundingClientRect();
  const [x, y] = [away(shown.left, shown.right, canvas.left, right), away(shown.top, shown.bottom, canvas.top, canvas.bottom)];
  const units = unitsPerPixel();
  if (x || y) setBox({ ...graph.box, x: graph.box.x + x * units, y: graph.box.y + y * units });
  const bottom = panel && !beside ? panel.top : innerHeight;
  const down = away(shown.top - y, shown.bottom - y, barsHeight(), bottom);
  if (down) scrollBy(0, down);
}
