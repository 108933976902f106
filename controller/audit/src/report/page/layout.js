// Where the boxes of the graph go: in columns, so that most connections lead from left to right. The same input gives the
// same picture.

const MOST_COLUMNS = 8;

// Items without cycles in their way: sources first, sinks last (after Eades, Lin and Smyth).
function inOrder(items, links) {
  const left = new Map(items.map((item) => [item.id, { from: 0, to: 0, links: [] }]));
  const order = [];
  const tail = [];
  // How many links begin and end at each item that is left.
  for (const link of links) {
    const [from, to] = [left.get(link.from), left.get(link.to)];
    if (!from || !to || from === to) continue;
    from.from += 1;
    to.to += 1;
    from.links.push(link);
    to.links.push(link);
  }
  while (left.size) {
    const ids = [...left.keys()];
    const sink = ids.find((id) => left.get(id).from === 0 && left.get(id).to > 0);
    const source = ids.find((id) => left.get(id).to === 0);
    let next = sink ?? source;
    if (next === undefined) {
      const surplus = (id) => left.get(id).from - left.get(id).to;
      next = ids.reduce((best, id) => (surplus(id) > surplus(best) ? id : best));
    }
    for (const link of left.get(next).links) {
      if (left.has(link.from)) left.get(link.from).from -= 1;
      if (left.has(link.to)) left.get(link.to).to -= 1;
    }
    left.delete(next);
    if (sink !== undefined) tail.unshift(next);
    else order.push(next);
  }
  return [...order, ...tail];
}

// Puts items ({ id, width, height }) into columns by links ({ from, to }). Gives each x and y, and the size of it all.
function layered(items, links, gaps, tallest) {
  const byId = new Map(items.map((item) => [item.id, item]));
  const used = links.filter((link) => link.from !== link.to && byId.has(link.from) && byId.has(link.to));
  const linked = new Set(used.flatMap((link) => [link.from, link.to]));
  const order = inOrder(items.filter((item) => linked.has(item.id)), used);
  const place = new Map(order.map((id, index) => [id, index]));
  const rank = new Map();
  for (const id of order) {
    const before = used.filter((link) => link.to === id && place.get(link.from) < place.get(id));
    rank.set(id, Math.max(0, ...before.map((link) => rank.get(link.from) + 1)));
  }
  // A long chain would be a picture of one line: neighbours share a column then.
  const length = Math.max(0, ...rank.values()) + 1;
  const columnOf = (id) => (length > MOST_COLUMNS ? Math.floor((rank.get(id) * MOST_COLUMNS) / length) : rank.get(id));
  const columns = [];
  for (const id of order) (columns[columnOf(id)] ??= []).push(byId.get(id));
  const height = (column) => column.reduce((sum, item) => sum + item.height + gaps.y, -gaps.y);
  arrange(columns, used);
  const split = columns.flatMap((column) => chunks(column, tallest, gaps.y));
  // What has no link fills the space that is left, then columns of its own.
  for (const item of items.filter((candidate) => !linked.has(candidate.id))) {
    const room = split.filter((column) => height(column) + gaps.y + item.height <= Math.max(tallest * 0.6, ...split.map(height)));
    const target = room.sort((a, b) => height(a) - height(b))[0];
    if (target) target.push(item);
    else split.push([item]);
  }
  const total = Math.max(0, ...split.map(height));
  let x = 0;
  for (const column of split) {
    const width = Math.max(...column.map((item) => item.width));
    let y = (total - height(column)) / 2;
    for (const item of column) {
      item.x = x + (gaps.centre ? (width - item.width) / 2 : 0);
      item.y = y;
      y += item.height + gaps.y;
    }
    x += width + gaps.x;
  }
  return { width: Math.max(0, x - gaps.x), height: total };
}

function chunks(column, tallest, gap) {
  const result = [[]];
  let height = 0;
  for (const item of column) {
    if (height > 0 && height + item.height > tallest) {
      result.push([]);
      height = 0;
    }
    result[result.length - 1].push(item);
    height += item.height + gap;
  }
  return result;
}

// Fewer crossings: each item goes to the middle of what it is linked to, a few times to and fro.
function arrange(columns, links) {
  const position = new Map();
  const remember = (column) => column.forEach((item, index) => position.set(item.id, (index + 0.5) / column.length));
  columns.forEach(remember);
  for (let sweep = 0; sweep < 6; sweep += 1) {
    const forward = sweep % 2 === 0;
    for (const column of forward ? columns : [...columns].reverse()) {
      const middle = new Map(column.map((item) => {
        const others = links.filter((link) => (forward ? link.to : link.from) === item.id);
        const places = others.map((link) => position.get(forward ? link.from : link.to));
        const mean = places.length ? places.reduce((sum, value) => sum + value, 0) / places.length : position.get(item.id);
        return [item.id, mean];
      }));
      column.sort((a, b) => middle.get(a.id) - middle.get(b.id));
      remember(column);
    }
  }
}
