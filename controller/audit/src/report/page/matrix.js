// The matrix: a grid with one cell in the tab order, moved by the arrow keys.

const MOST_SHOWN = 60;
const matrixPlace = document.getElementById("matrix-view");
const coarse = data.grain === "classes" ? byNamespace(finest) : finest;
const canCoarsen = coarse !== finest && coarse.ends.length < finest.ends.length;
const matrix = {
  view: canCoarsen && finest.ends.length > MOST_SHOWN ? coarse : finest,
  applies: "from",
  shown: MOST_SHOWN,
  rows: [],
  columns: [],
  at: [0, 0],
  chosen: null,
  table: null,
  notes: [],
};
const matrixRows = document.getElementById("matrix-rows");
const finestRows = matrixRows.textContent;
const hasParts = data.cells.some((cell) => isPart(cell, cell.share));

function chooseEnds(wanted) {
  const { ends } = matrix.view;
  return wanted && isFiltered() ? ends.filter(matchesEnd) : ends;
}

// Whether an end begins a new group, which a gap sets off: a namespace, or what is outside.
function beginsGroup(ends, index) {
  if (index === 0) return false;
  const [before, here] = [ends[index - 1].namespace, ends[index].namespace];
  return matrix.view.grain === "classes" ? before !== here : (before === undefined) !== (here === undefined);
}

function endHeader(end) {
  const named = end.namespace !== undefined && end.full !== end.namespace;
  return named ? [make("i", {}, `${end.namespace}/`), end.name] : [end.full];
}

function cellWords(cell, share) {
  if (share === "inapplicable") return "";
  if (share === "none") return "·";
  if (filter.port) return share === "all" ? "yes" : "some";
  return share === "all" ? "all" : cell.short;
}

function cellLabel(from, to, cell, share) {
  const port = filter.port ? `, port ${filterForm.elements.port.value}: ${share === "none" ? "no" : "yes"}` : "";
  return `${from.full} to ${to.full}: ${cell.text}${port}`;
}

function matrixCell(from, to, row, column) {
  const cell = matrix.view.cell(from, to);
  const share = shareOf(cell, filter.port);
  const first = beginsGroup(matrix.columns, column);
  return make("td", {
    class: `${share}${isPart(cell, share) ? " part" : ""}${first ? " first-column" : ""}`,
    role: "gridcell",
    tabindex: row === 0 && column === 0 ? "0" : "-1",
    "data-row": row,
    "data-column": column,
    "aria-label": cellLabel(from, to, cell, share),
    title: cell.text,
  }, cellWords(cell, share));
}

function renderTable(rows, columns) {
  const head = make("tr", { role: "row" },
    make("th", { class: "corner", scope: "col", role: "columnheader" }, "From ↓ to →"),
    columns.map((to, column) => {
      const first = beginsGroup(columns, column);
      return make("th", { class: `column${first ? " first-column" : ""}`, scope: "col", role: "columnheader", title: to.full }, make("span", {}, endHeader(to)));
    }));
  const bodies = [];
  rows.forEach((from, row) => {
    const line = make("tr", { role: "row" },
      make("th", { scope: "row", role: "rowheader", title: from.full }, endHeader(from)),
      columns.map((to, column) => matrixCell(from, to, row, column)));
    if (row > 0 && !beginsGroup(rows, row)) bodies.at(-1).append(line);
    else bodies.push(make("tbody", { role: "rowgroup", class: row > 0 ? "more" : undefined }, line));
  });
  return make("table", {
    class: "matrix",
    role: "grid",
    "aria-label": "Who may connect to whom",
    "aria-readonly": "true",
    onclick: (event) => openCell(event.target.closest("td")),
    onkeydown: matrixKey,
    onfocusin: (event) => event.target.matches("td") && moveTo(event.target),
  }, make("thead", { role: "rowgroup" }, head), bodies);
}

function bound(ends, name) {
  if (ends.length <= matrix.shown) return null;
  return `the first ${matrix.shown} of ${ends.length} ${name}`;
}

function renderMatrix() {
  const rows = chooseEnds(matrix.applies !== "to");
  const columns = chooseEnds(matrix.applies !== "from");
  matrix.rows = rows.slice(0, matrix.shown);
  matrix.columns = columns.slice(0, matrix.shown);
  matrix.at = [0, 0];
  matrixRows.textContent = matrix.view === finest ? finestRows : "the pods of a namespace are one";
  const tools = [];
  if (canCoarsen) {
    tools.push(choice("Rows are", "matrix-grain", { classes: "equal pods", namespaces: "namespaces" }, matrix.view.grain, (grain) => {
      matrix.view = grain === "classes" ? finest : coarse;
      renderMatrix();
    }));
  }
  tools.push(choice("Filter", "matrix-applies", { from: "sources", to: "destinations", both: "both" }, matrix.applies, (value) => {
    matrix.applies = value;
    renderMatrix();
  }));
  const bounds = [bound(rows, "sources"), bound(columns, "destinations")].filter(Boolean);
  matrix.notes = bounds.length ? [`Showing ${bounds.join(" and ")}; filter to see others.`] : [];
  const left = data.whole - data.ends.length;
  if (left > 0) matrix.notes.push(`${counted(left, "namespace")} with the fewest pods are left out.`);
  tools.push(...matrix.notes.map((note) => make("span", { role: "status" }, note)));
  const toolbar = make("div", { class: "toolbar" }, tools);
  matrix.table = rows.length && columns.length ? renderTable(matrix.rows, matrix.columns) : null;
  const table = matrix.table ? make("div", { class: "scroll" }, matrix.table) : make("p", { class: "empty" }, whyEmpty());
  const kept = document.activeElement?.closest?.("#matrix-view .choice") ? document.activeElement : null;
  matrixPlace.replaceChildren(toolbar, table, matrixLegend());
  if (kept) matrixPlace.querySelector(`input[name="${kept.name}"][value="${kept.value}"]`)?.focus();
}

// A cell that is moved to shall not come to lie beneath the headers, which stay where they are.
function keepHeadersClear() {
  const scroll = matrix.table.closest(".scroll");
  const corner = matrix.table.querySelector(".corner");
  scroll.style.scrollPaddingTop = `${corner.offsetHeight + 4}px`;
  scroll.style.scrollPaddingLeft = `${corner.offsetWidth + 4}px`;
}

function matrixLegend() {
  const entries = filter.port
    ? [["all", "yes", "allowed on this port"], ["some part", "some", "between some of them"], ["none", "·", "not allowed"]]
    : [["all", "all", "everything"], ["some", "443", "these ports only"], ["none", "·", "nothing"]];
  if (!filter.port && matrix.view.members) entries.splice(2, 0, ["some part", "2/9", "between so many of the pairs of equal pods"]);
  if (!filter.port && hasParts) entries.splice(2, 0, ["some part", "part 443", "not between all of them, or not by each address"]);
  entries.push(["inapplicable", "\u00a0", "nothing to ask"]);
  return make("ul", { class: "legend" }, entries.map(([kind, sample, words]) =>
    make("li", {}, make("span", { class: kind, "aria-hidden": "true" }, sample), words)));
}

function cellAt(row, column) {
  return matrix.table?.querySelector(`td[data-row="${row}"][data-column="${column}"]`);
}

function moveTo(cell) {
  const [row, column] = matrix.at;
  cellAt(row, column)?.setAttribute("tabindex", "-1");
  cell.setAttribute("tabindex", "0");
  matrix.at = [Number(cell.dataset.row), Number(cell.dataset.column)];
}

function matrixKey(event) {
  const cell = event.target.closest("td");
  if (!cell || event.altKey || event.metaKey) return;
  const [row, column] = [Number(cell.dataset.row), Number(cell.dataset.column)];
  const [lastRow, lastColumn] = [matrix.rows.length - 1, matrix.columns.length - 1];
  const moves = {
    ArrowUp: [row - 1, column],
    ArrowDown: [row + 1, column],
    ArrowLeft: [row, column - 1],
    ArrowRight: [row, column + 1],
    Home: [event.ctrlKey ? 0 : row, 0],
    End: [event.ctrlKey ? lastRow : row, lastColumn],
    PageUp: [Math.max(0, row - 10), column],
    PageDown: [Math.min(lastRow, row + 10), column],
  };
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    openCell(cell);
    return;
  }
  const move = moves[event.key];
  if (!move) return;
  event.preventDefault();
  const next = cellAt(...move);
  if (!next) return;
  keepHeadersClear();
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (details.open && matrix.chosen) openCell(next);
}

function openCell(cell) {
  if (!cell) return;
  const [from, to] = [matrix.rows[cell.dataset.row], matrix.columns[cell.dataset.column]];
  openPair(matrix.view, from, to, matrixClosed);
  matrix.chosen?.classList.remove("chosen");
  matrix.chosen = cell;
  cell.classList.add("chosen");
}

function openPair(view, from, to, closed) {
  const deeper = (source, destination) => openPair(finest, source, destination, closed);
  showDetails(`${from.full} → ${to.full}`, pairDetails(view, from, to, deeper), closed);
}

function matrixClosed(refocus) {
  const cell = matrix.chosen;
  matrix.chosen = null;
  cell?.classList.remove("chosen");
  if (refocus && cell?.isConnected) cell.focus();
}

filterListeners.push(() => {
  closeDetails(false);
  renderMatrix();
});
