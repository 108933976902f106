// The panel that says why.

const details = document.getElementById("details");
const detailsTitle = document.getElementById("details-title");
const detailsBody = document.getElementById("details-body");
const MOST_LISTED = 60;
let detailsClosed = null;

// Shows content; `closed` is told when it goes, to put the focus back.
function showDetails(title, content, closed) {
  if (detailsClosed && detailsClosed !== closed) detailsClosed(false);
  detailsClosed = closed;
  // What had the focus is about to go.
  const within = detailsBody.contains(document.activeElement);
  detailsTitle.textContent = title;
  detailsBody.replaceChildren(...content);
  details.scrollTop = 0;
  if (!details.open) details.show();
  if (within) detailsTitle.focus();
}

function closeDetails(refocus) {
  if (!details.open) return;
  details.close();
  const closed = detailsClosed;
  detailsClosed = null;
  if (closed) closed(refocus);
}

document.getElementById("details-close").addEventListener("click", () => closeDetails(true));

function policyLink(policy) {
  const name = policyName(policy);
  return make("a", { href: `#policy/${name}` }, name);
}

// The text of a rule is on the page already.
function ruleText(policy, direction, rule) {
  const item = document.getElementById(`policy/${policyName(policy)}/${direction}/${rule}`);
  return item ? item.firstChild.textContent : `rule ${rule}`;
}

function sideDetails(end, other, direction) {
  const heading = direction === "egress" ? `Out of ${end.full}` : `Into ${end.full}`;
  const judgement = judge(end, other, direction);
  const content = [make("h3", {}, heading)];
  if (judgement === null) {
    content.push(make("p", {}, "No pod: policies do not judge this side."));
  } else if (judgement.isolated === 0) {
    content.push(make("p", {}, `No policy isolates it for ${direction}: this side allows everything.`));
  } else if (judgement.policies.length === 0) {
    content.push(make("p", {}, `${judgement.isolated} of ${counted(end.pods, "pod")} are isolated for ${direction}.`));
  } else {
    const speaking = judgement.policies.filter(({ rules }) => rules.length);
    const silent = judgement.policies.filter(({ rules }) => !rules.length);
    if (speaking.length) {
      // Whether such a rule lets anything through depends on its ports as well: a name may be declared by no pod.
      content.push(make("p", {}, `Rules that speak of ${other.full}:`));
      content.push(make("ul", {}, speaking.map(({ policy, rules }) =>
        make("li", {}, policyLink(policy), rules.map((rule) =>
          make("div", {}, `rule ${rule}: ${ruleText(policy, direction, rule)}`))))));
    }
    if (silent.length && data.scoped) {
      const words = speaking.length ? "Isolated as well by, without such a rule:" : `Isolated by, and no rule speaks of ${other.full}:`;
      content.push(make("p", {}, words));
      content.push(make("ul", {}, silent.map(({ policy }) => make("li", {}, policyLink(policy)))));
    }
  }
  return content;
}

function verdict(cell) {
  const words = {
    all: "Everything is allowed.",
    some: `Allowed: ${cell.text}.`,
    none: "Nothing is allowed.",
    inapplicable: `Nothing to ask: ${cell.text}.`,
  };
  return make("p", { class: `verdict ${cell.share === "none" || cell.share === "inapplicable" ? "none" : ""}` }, words[cell.share]);
}

// Why a source may, or may not, connect to a destination.
function pairDetails(view, from, to, open) {
  const cell = view.cell(from, to);
  const content = [verdict(cell)];
  if (cell.share === "inapplicable") return content;
  if (from.members) {
    const pairs = from.members.flatMap((source) => to.members.map((destination) => [source, destination]));
    const rows = pairs.slice(0, MOST_LISTED).map(([source, destination]) =>
      make("tr", {},
        make("td", {}, make("button", { type: "button", class: "link", onclick: () => open(source, destination) }, `${source.full} → ${destination.full}`)),
        make("td", {}, finest.cell(source, destination).text)));
    content.push(make("h3", {}, "Between"), make("table", {}, make("tbody", {}, rows)));
    if (pairs.length > MOST_LISTED) content.push(make("p", { class: "note" }, `The first ${MOST_LISTED} of ${pairs.length} pairs.`));
    return content;
  }
  content.push(...sideDetails(from, to, "egress"), ...sideDetails(to, from, "ingress"));
  if (!data.scoped) {
    content.push(make("p", { class: "note" }, "The cluster is too large for this page to hold every rule: `palisade policy-audit explain` says which one decides."));
  }
  return content;
}

function isolationWords(end, direction) {
  const count = end[direction];
  if (count === 0) return `Not isolated for ${direction}.`;
  if (count === end.pods) return `Isolated for ${direction}.`;
  return `${count} of ${end.pods} pods isolated for ${direction}.`;
}

function connections(view, title, others, cell, open) {
  const rows = others.map((other) => [other, cell(other)]).filter(([, found]) => found.share === "all" || found.share === "some");
  const content = [make("h3", {}, `${title} (${rows.length})`)];
  if (!rows.length) return [...content, make("p", {}, "Nothing.")];
  content.push(make("table", {}, make("tbody", {}, rows.slice(0, MOST_LISTED).map(([other, found]) =>
    make("tr", {},
      make("td", {}, make("button", { type: "button", class: "link", onclick: () => open(other) }, other.full)),
      make("td", {}, found.text))))));
  if (rows.length > MOST_LISTED) content.push(make("p", { class: "note" }, `The first ${MOST_LISTED} of ${rows.length}.`));
  return content;
}

// The pods that an end stands for.
function singleDetails(end) {
  if (!data.singles) return [make("p", { class: "note" }, "The cluster is too large for this page to have single pods.")];
  const pods = podsOf(end);
  if (!pods.length || (pods.length === 1 && pods[0].name === end.name && !pods[0].addresses)) return [];
  const rows = pods.slice(0, MOST_LISTED).map((pod) =>
    make("tr", {}, make("td", {}, pod.name, pod.labels ? make("small", {}, ` ${pod.labels}`) : null), make("td", {}, pod.addresses)));
  // A pod of a template stands for all of its replicas.
  const heading = pods.length < end.pods ? "Pods and templates" : "Pods";
  const content = [make("h3", {}, `${heading} (${pods.length})`), make("table", { class: "singles" }, make("tbody", {}, rows))];
  if (pods.length > MOST_LISTED) content.push(make("p", { class: "note" }, `${MOST_LISTED} of ${pods.length}; search for others.`));
  return content;
}

// What there is to say of one end.
function endDetails(view, end, openPair) {
  const content = [];
  if (end.detail) content.push(make("p", { class: "note" }, end.detail));
  if (end.namespace !== undefined) {
    content.push(make("p", {}, `${counted(end.pods, "pod")}. ${isolationWords(end, "ingress")} ${isolationWords(end, "egress")}`));
    const numbers = [...new Set([...(end.ingress_by ?? []), ...(end.egress_by ?? [])])].sort((a, b) => a - b);
    if (numbers.length) {
      content.push(make("h3", {}, "Policies that select it"));
      content.push(make("ul", {}, numbers.map((number) => make("li", {}, policyLink(data.policies[number])))));
    }
  }
  content.push(...connections(view, "Accepts from", view.ends, (other) => view.cell(other, end), (other) => openPair(other, end)));
  content.push(...connections(view, "Connects to", view.ends, (other) => view.cell(end, other), (other) => openPair(end, other)));
  if (end.namespace !== undefined) content.push(...singleDetails(end));
  return content;
}
