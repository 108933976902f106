// The data of the page, and the questions that can be asked of it.

const data = JSON.parse(document.getElementById("data").textContent);
const PROTOCOLS = ["TCP", "UDP", "SCTP"];
const NOTHING = { share: "none", short: "", text: "none", ports: [[], [], []], whole: true };

// What a wanted port is: "443", "53/UDP". Null: no port is wanted; undefined: what stands there is no port.
function parsePort(text) {
  const words = text.trim().toUpperCase();
  if (words === "") return null;
  const match = /^(\d{1,5})(?:\s*\/\s*(TCP|UDP|SCTP))?$/.exec(words);
  if (!match || Number(match[1]) > 65535) return undefined;
  const protocols = match[2] ? [PROTOCOLS.indexOf(match[2])] : [0, 1, 2];
  return { number: Number(match[1]), protocols };
}

function hasPort(cell, wanted) {
  return wanted.protocols.some((protocol) => {
    const spans = cell.ports[protocol];
    for (let i = 0; i < spans.length; i += 2) {
      if (spans[i] <= wanted.number && wanted.number <= spans[i + 1]) return true;
    }
    return false;
  });
}

// How much of a cell there is, if only one port matters.
function shareOf(cell, wanted) {
  if (!wanted || cell.share === "inapplicable" || cell.share === "none") return cell.share;
  if (!hasPort(cell, wanted)) return "none";
  return cell.whole ? "all" : "some";
}

// A namespace is called by its name where rows are namespaces.
function fullName(end) {
  if (end.namespace === undefined) return end.name;
  return data.grain === "namespaces" ? end.namespace : `${end.namespace}/${end.name}`;
}

// Whether two cells say the same. Those of different families, or that were made here, are not the same object.
function sameCell(one, other) {
  if (one === other) return true;
  if (!one || !other || one.share !== other.share || one.whole !== other.whole) return false;
  return one.ports.every((spans, protocol) => String(spans) === String(other.ports[protocol]));
}

// Whether a cell speaks of a part only of what it stands for.
function isPart(cell, share) {
  return share === "some" && !cell.whole;
}

function policyName(policy) {
  return `${policy.namespace}/${policy.name}`;
}

// A view is a choice of rows, with what each says of each other: view.ends, view.cell(from, to).
const finest = (() => {
  const ends = data.ends.map((end, index) => {
    const policies = [...new Set([...(end.ingress_by ?? []), ...(end.egress_by ?? [])])];
    const names = policies.map((number) => policyName(data.policies[number]));
    // What is taken out of a range is no name of it.
    const own = [fullName(end), end.detail ?? ""].map((text) => (end.namespace === undefined ? text.replace(/ except [^,(]*/g, "") : text));
    return {
      ...end,
      index,
      findings: end.findings ?? 0,
      full: fullName(end),
      own: own.join(" ").toLowerCase(),
      text: [...own, ...names].join(" ").toLowerCase(),
      list: (end.singles ?? []).map(([name, addresses, labels]) => ({
        name,
        addresses,
        labels: data.labels[labels],
        text: `${end.namespace}/${name} ${data.labels[labels]}`.toLowerCase(),
      })),
      parts: (end.blocks ?? []).map((part) => part.map(parseBlock)),
    };
  });
  const expanded = new Map();
  const row = (number) => {
    if (!expanded.has(number)) {
      const cells = new Uint32Array(ends.length);
      const runs = data.runs[number];
      let at = 0;
      for (let i = 0; i < runs.length; i += 2) {
        cells.fill(runs[i], at, at + runs[i + 1]);
        at += runs[i + 1];
      }
      expanded.set(number, cells);
    }
    return expanded.get(number);
  };
  const cell = (from, to) => data.cells[row(data.rows[from.index])[to.index]] ?? NOTHING;
  return { grain: data.grain, ends, cell };
})();

// Namespaces in place of classes; what is outside stays as it is.
function byNamespace(view) {
  const groups = new Map();
  for (const end of view.ends) {
    const key = end.namespace === undefined ? `outside ${end.index}` : `in ${end.namespace}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(end);
  }
  const ends = [...groups.values()].map((members, index) => {
    const sum = (field) => members.reduce((total, end) => total + end[field], 0);
    const [first] = members;
    const inside = first.namespace !== undefined;
    return {
      index,
      members,
      namespace: first.namespace,
      name: inside ? "all pods" : first.name,
      full: inside ? first.namespace : first.full,
      detail: inside ? "" : first.detail,
      pods: sum("pods"),
      ingress: sum("ingress"),
      egress: sum("egress"),
      findings: sum("findings"),
      text: members.map((end) => end.text).join(" "),
      parts: first.parts,
    };
  });
  const known = new Map();
  const cell = (from, to) => {
    const key = from.index * ends.length + to.index;
    if (!known.has(key)) known.set(key, united(view, from.members, to.members));
    return known.get(key);
  };
  return { grain: "namespaces", members: true, ends, cell };
}

// One cell for many.
function united(view, from, to) {
  const cells = new Set();
  let pairs = 0;
  let allowed = 0;
  for (const source of from) {
    for (const destination of to) {
      const cell = view.cell(source, destination);
      if (cell.share === "inapplicable") continue;
      pairs += 1;
      if (cell.share !== "none") allowed += 1;
      cells.add(cell);
    }
  }
  if (pairs === 0) return from.length && to.length ? view.cell(from[0], to[0]) : NOTHING;
  const [any] = cells;
  if ([...cells].every((cell) => sameCell(cell, any))) return any;
  if (allowed === 0) return NOTHING;
  const kinds = [...cells].filter((cell) => cell.share !== "none");
  const ports = PROTOCOLS.map((_, protocol) => unionOfSpans(kinds.map((cell) => cell.ports[protocol])));
  const text = kinds.every((cell) => sameCell(cell, kinds[0])) ? kinds[0].text : "on different ports";
  return {
    share: "some",
    short: `${allowed}/${pairs}`,
    text: `${allowed} of ${pairs} pairs of these: ${text}`,
    ports,
    whole: false,
  };
}

function unionOfSpans(lists) {
  const spans = [];
  for (const list of lists) for (let i = 0; i < list.length; i += 2) spans.push([list[i], list[i + 1]]);
  spans.sort((a, b) => a[0] - b[0]);
  const union = [];
  for (const [first, last] of spans) {
    if (union.length && first <= union[union.length - 1] + 1) {
      union[union.length - 1] = Math.max(union[union.length - 1], last);
    } else {
      union.push(first, last);
    }
  }
  return union;
}

// What one side says of a pair: null where it is no pod, or what isolates it and which rules speak of the other side.
function judge(end, other, direction) {
  if (end.namespace === undefined) return null;
  const policies = (end[`${direction}_by`] ?? []).map((number) => {
    const policy = data.policies[number];
    const rules = [];
    (policy[direction] ?? []).forEach((spans, rule) => {
      for (let i = 0; i < spans.length; i += 2) {
        if (spans[i] <= other.index && other.index <= spans[i + 1]) {
          rules.push(rule + 1);
          break;
        }
      }
    });
    return { policy, rules };
  });
  return { isolated: end[direction], policies };
}
