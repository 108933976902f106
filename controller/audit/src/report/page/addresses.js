// Addresses and blocks of addresses of both families, as numbers that can be compared.

const BITS = { 4: 32n, 6: 128n };

function numberOfV4(text) {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) return null;
  return parts.reduce((number, part) => number * 256n + BigInt(part), 0n);
}

function numberOfV6(text) {
  const halves = text.split("::");
  if (!text.includes(":") || halves.length > 2) return null;
  const groups = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - groups.flat().length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const all = halves.length === 2 ? [...groups[0], ...Array(missing).fill("0"), ...groups[1]] : groups[0];
  if (!all.every((group) => /^[0-9a-f]{1,4}$/.test(group))) return null;
  return all.reduce((number, group) => number * 65536n + BigInt(`0x${group}`), 0n);
}

// "10.0.0.1", "fd00::/8": its family, first and last address. Null: it is neither.
function parseBlock(text) {
  const [address, length, ...rest] = text.split("/");
  if (rest.length || (length !== undefined && !/^\d{1,3}$/.test(length))) return null;
  const v4 = numberOfV4(address);
  const family = v4 === null ? 6 : 4;
  const number = v4 ?? numberOfV6(address);
  const bits = BITS[family];
  if (number === null || BigInt(length ?? 0) > bits) return null;
  const size = 1n << (bits - BigInt(length ?? bits));
  const first = number - (number % size);
  return { family, first, last: first + size - 1n };
}

function isSingle(block) {
  return block.first === block.last;
}

function contains(outer, inner) {
  return outer.family === inner.family && outer.first <= inner.first && inner.last <= outer.last;
}

// How many addresses are in both.
function shared(one, other) {
  if (one.family !== other.family) return 0n;
  const first = one.first > other.first ? one.first : other.first;
  const last = one.last < other.last ? one.last : other.last;
  return first > last ? 0n : last - first + 1n;
}

// Whether some address of `wanted` is in a range: blocks, each without some blocks that lie apart from each other.
function rangeHas(parts, wanted) {
  return parts.some(([block, ...excepts]) => {
    const without = (inner) => excepts.reduce((left, except) => left - shared(except, inner), shared(block, inner));
    return without(wanted) > 0n;
  });
}
