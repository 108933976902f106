// Which ends the words of a search mean: by name, label, address or policy, of an end or of one of its pods.

// A word, and the addresses that it is, if it is one. While an IPv6 address is typed its colons are no end of it.
function parseWord(text) {
  return { text, block: text.endsWith(":") ? null : parseBlock(text) };
}

function hasWords(text) {
  return filter.words.every((word) => text.includes(word.text));
}

function podHas(pod, word) {
  if (pod.text.includes(word.text)) return true;
  if (!word.block) return pod.addresses.includes(word.text);
  pod.blocks ??= pod.addresses.split(" ").filter(Boolean).map(parseBlock);
  return pod.blocks.some((address) => contains(word.block, address));
}

const isAddressOfPod = (() => {
  let all = null;
  const key = (block) => `${block.family} ${block.first}`;
  return (block) => {
    const addresses = () => finest.ends.flatMap((end) => end.list.flatMap((pod) => pod.addresses.split(" ").filter(Boolean)));
    all ??= new Set(addresses().map((address) => key(parseBlock(address))));
    return isSingle(block) && all.has(key(block));
  };
})();

// `field` is "text", or "own" without the policies.
function endHas(end, word, field = "text") {
  // The addresses of pods may lie in a range outside, but then they are the pods'.
  if (end.namespace === undefined && word.block) return rangeHas(end.parts, word.block) && !isAddressOfPod(word.block);
  return end[field].includes(word.text);
}

// Whether an end has all words; what it lacks itself one and the same of its pods must have.
function endHasWords(end, field = "text") {
  if (end.members) return end.members.some((member) => endHasWords(member, field));
  const left = filter.words.filter((word) => !endHas(end, word, field));
  return !left.length || end.list.some((pod) => left.every((word) => podHas(pod, word)));
}

// The namespaces of what has the words, and the policies that select it.
function namesOfMatching() {
  const names = { namespace: new Set(), policy: new Set() };
  if (!filter.words.length) return names;
  for (const end of finest.ends) {
    if (!endHasWords(end, "own")) continue;
    names.namespace.add(end.namespace);
    for (const number of [...(end.ingress_by ?? []), ...(end.egress_by ?? [])]) names.policy.add(`policy/${policyName(data.policies[number])}`);
  }
  return names;
}

// The pods of an end, those first that the search means by themselves.
function podsOf(end) {
  const pods = end.members ? end.members.flatMap(podsOf) : end.list;
  const words = filter.words.filter((word) => !endHas(end, word));
  if (!words.length) return pods;
  const isMeant = (pod) => words.every((word) => podHas(pod, word));
  return [...pods.filter(isMeant), ...pods.filter((pod) => !isMeant(pod))];
}
