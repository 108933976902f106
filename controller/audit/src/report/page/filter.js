// What is asked of the page: one filter for all its sections.

const filterForm = document.getElementById("filter");
const searchField = document.getElementById("search");
const filterListeners = [];
if (!data.singles) searchField.placeholder = "namespace, address outside, policy";
let filter = readFilter();

function readFilter() {
  const values = new FormData(filterForm);
  const isolation = (values.get("isolation") || "").split("-");
  const port = parsePort(values.get("port") || "");
  filterForm.elements.port.setAttribute("aria-invalid", String(port === undefined));
  return {
    words: (values.get("text") || "").toLowerCase().split(/\s+/).filter(Boolean).map(parseWord),
    namespace: values.get("namespace") || "",
    port: port ?? null,
    badPort: port === undefined,
    direction: isolation[0] || null,
    isolated: isolation[1] === "all",
    findings: values.has("findings"),
  };
}

function isFiltered() {
  return Boolean(filter.words.length || filter.namespace || filter.direction || filter.findings);
}

function matchesEnd(end) {
  if (filter.namespace && end.namespace !== filter.namespace) return false;
  if (filter.findings && !end.findings) return false;
  if (filter.direction) {
    if (end.namespace === undefined) return false;
    const isolated = end[filter.direction];
    if (filter.isolated ? isolated === 0 : isolated === end.pods) return false;
  }
  return endHasWords(end);
}

for (const list of ["findings", "policies"]) {
  const section = document.getElementById(list);
  section.classList.toggle("many", section.querySelectorAll(".finding, .policy").length > 200);
}

// Findings, policies and namespaces are on the page already: they are shown or not.
const listed = [
  { name: "finding", elements: document.querySelectorAll(".finding") },
  { name: "policy", plural: "policies", elements: document.querySelectorAll(".policy") },
  { name: "namespace", elements: document.querySelectorAll(".coverage tbody tr") },
].map((list) => ({
  ...list,
  elements: [...list.elements].map((element) => ({ element, text: null, name: element.id || element.dataset.namespace })),
}));

function matchesElement(item, matching) {
  const facts = item.element.dataset;
  if (filter.namespace && facts.namespace !== filter.namespace) return false;
  if (filter.findings && facts.findings === "0") return false;
  const isolated = facts[filter.direction];
  if (filter.direction && isolated !== undefined) {
    if (filter.isolated ? isolated === "none" : isolated === "all") return false;
  }
  if (!filter.words.length) return true;
  item.text ??= item.element.textContent.toLowerCase();
  return hasWords(item.text) || Boolean(matching?.has(item.name));
}

function applyToLists() {
  const counts = [];
  // The words may be those of pods.
  const matching = namesOfMatching();
  for (const list of listed) {
    let shown = 0;
    for (const item of list.elements) {
      const matches = matchesElement(item, matching[list.name]);
      item.element.hidden = !matches;
      if (matches) shown += 1;
    }
    if (list.name === "finding") {
      for (const group of document.querySelectorAll(".finding-code")) group.hidden = !group.querySelector(".finding:not([hidden])");
    }
    if (list.elements.length) counts.push(counted(shown, list.name, list.plural));
  }
  return counts;
}

function applyFilter() {
  filter = readFilter();
  const counts = applyToLists();
  for (const listener of filterListeners) listener();
  const output = document.getElementById("matches");
  if (filter.badPort) output.textContent = "A port is a number, or 53/UDP.";
  else if (filter.words.length && !data.singles) output.textContent = `${counts.join(", ")}; single pods are not on this page`;
  else output.textContent = isFiltered() ? counts.join(", ") : "";
  document.getElementById("filtered").textContent = filterWords();
}

// What is asked, for paper, which has no form.
function filterWords() {
  const { elements } = filterForm;
  const asked = [
    filter.words.length ? `the words “${filter.words.map((word) => word.text).join(" ")}”` : "",
    filter.namespace ? `namespace ${filter.namespace}` : "",
    filter.direction ? `isolation: ${elements.isolation.selectedOptions[0].text}` : "",
    filter.findings ? "with findings" : "",
  ].filter(Boolean);
  const only = asked.length ? `Only what matches this is shown: ${asked.join("; ")}.` : "";
  const port = filter.port ? `The matrix and the graph are those of port ${elements.port.value.trim()}.` : "";
  return [only, port].filter(Boolean).join(" ");
}

// Why there is nothing to show of ends.
function whyEmpty() {
  return isFiltered() ? "Nothing matches the filter." : "There are no pods.";
}

// Typing is faster than a page of some megabytes: the last letter counts.
let pending = 0;
filterForm.addEventListener("input", () => {
  cancelAnimationFrame(pending);
  pending = requestAnimationFrame(applyFilter);
});
filterForm.addEventListener("reset", () => requestAnimationFrame(applyFilter));
filterForm.addEventListener("submit", (event) => event.preventDefault());
