// On paper there is nothing to scroll and nothing to unfold.

// What fits between the margins of the narrower of A4 and Letter, in pixels of CSS.
const PAPER_WIDTH = 680;
const paper = { box: null, folded: [] };

// The matrix in as many parts as it takes for each to be as wide as the paper.
function matrixOnPaper() {
  document.getElementById("matrix-paper")?.remove();
  const notes = matrix.notes.map((note) => make("p", { class: "note" }, note));
  const place = make("div", { id: "matrix-paper" }, notes);
  matrixPlace.prepend(place);
  if (!matrix.table) return;
  const { rows, columns } = matrix;
  const whole = renderTable(rows, columns);
  place.append(whole);
  const [names, ...widths] = [...whole.querySelectorAll("thead th")].map((header) => header.getBoundingClientRect().width + 1);
  const parts = [];
  let used = 0;
  columns.forEach((column, index) => {
    if (index === 0 || used + widths[index] > PAPER_WIDTH) {
      parts.push([]);
      used = names;
    }
    parts.at(-1).push(column);
    used += widths[index];
  });
  whole.remove();
  let first = 1;
  for (const part of parts) {
    const last = first + part.length - 1;
    if (parts.length > 1) place.append(make("p", { class: "note" }, `Columns ${first}–${last} of ${columns.length}`));
    place.append(renderTable(rows, part));
    first = last + 1;
  }
}

addEventListener("beforeprint", () => {
  matrixOnPaper();
  if (graph.redraw !== null) renderGraph();
  if (graph.nodes.length) {
    paper.box = graph.box;
    fit();
  }
  paper.folded = [...document.querySelectorAll("details:not([open])")];
  for (const fold of paper.folded) fold.open = true;
});

addEventListener("afterprint", () => {
  document.getElementById("matrix-paper")?.remove();
  if (paper.box && graph.nodes.length) setBox(paper.box);
  paper.box = null;
  for (const fold of paper.folded) fold.open = false;
});
