// Clusters that the sample shop is not: large ones, one without pods, one of two address families. They are made here, as
// they would be long files.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const metadata = (path, labels) => {
  const [namespace, name] = path.split("/");
  return { namespace, name, labels };
};

const namespace = (name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels: { team: name } } });

const pod = (path, labels, addresses, more = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { ...metadata(path, labels), ...more },
  spec: { containers: [{ name: "main" }] },
  status: { phase: "Running", podIP: addresses[0], podIPs: addresses.map((ip) => ({ ip })) },
});

const policy = (path, spec) => ({ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: metadata(path), spec });

const selecting = (app) => ({ podSelector: { matchLabels: { app } } });

const fromApp = (app, port) => ({ from: [selecting(app)], ports: [{ port }] });

/** So many namespaces of so many pods, none of which is like another, each open to the one before it. */
function chains(namespaces, apps) {
  const items = [];
  for (let space = 0; space < namespaces; space += 1) {
    const name = `team-${String(space).padStart(3, "0")}`;
    items.push(namespace(name));
    for (let app = 0; app < apps; app += 1) {
      items.push(pod(`${name}/app-${app}-x7k2`, { app: `app-${app}`, tier: app % 2 ? "odd" : "even" }, [`10.1.${space}.${app + 1}`]));
      items.push(policy(`${name}/app-${app}`, { ...selecting(`app-${app}`), policyTypes: ["Ingress"], ingress: [fromApp(`app-${Math.max(0, app - 1)}`, 8000 + app)] }));
    }
  }
  return items;
}

/** Few pods, in one family or in both. */
function families(dual) {
  const addresses = (number) => [`10.0.0.${number}`, ...(dual ? [`fd00::${number}`] : [])];
  return [
    namespace("front"), namespace("back"),
    pod("front/web", { app: "web" }, addresses(1)), pod("front/db", { app: "db" }, addresses(3)),
    pod("back/client", { app: "client" }, addresses(11)), pod("back/server", { app: "server" }, addresses(12)),
    policy("front/web", { ...selecting("web"), policyTypes: ["Ingress"], ingress: [{ ports: [{ port: 443 }] }] }),
    policy("front/db", { ...selecting("db"), policyTypes: ["Ingress"], ingress: [{ from: [selecting("web")] }] }),
    policy("back/server", { ...selecting("server"), policyTypes: ["Ingress"], ingress: [{ from: [selecting("client")] }] }),
  ];
}

/** Pods that no policy tells apart, and a rule of many blocks. */
function alike() {
  const owner = { ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "web-7d9f8c5b6d", uid: "1", controller: true }] };
  const blocks = Array.from({ length: 14 }, (_, number) => ({ ipBlock: { cidr: `172.16.${number + 1}.0/24` } }));
  return [
    namespace("shop"),
    pod("shop/web-7d9f8c5b6d-abcde", { app: "web", shard: "one", "pod-template-hash": "7d9f8c5b6d" }, ["10.0.0.1", "fd00::1"], owner),
    pod("shop/web-7d9f8c5b6d-fghij", { app: "web", shard: "two", "pod-template-hash": "7d9f8c5b6d" }, ["10.0.0.2", "fd00::2"], owner),
    pod("shop/db-0", { app: "db" }, ["10.0.0.3", "fd00::3"]),
    policy("shop/db", { ...selecting("db"), policyTypes: ["Ingress"], ingress: [fromApp("web", 5432)] }),
    policy("shop/web", { ...selecting("web"), policyTypes: ["Ingress"], ingress: [{ from: blocks }] }),
  ];
}

const CLUSTERS = {
  // More than a page has rows: these are namespaces.
  large: chains(130, 10),
  // More than a matrix shows at once.
  wide: chains(7, 10),
  single: families(false),
  dual: families(true),
  alike: alike(),
  empty: [namespace("shop")],
  policies: alike().filter(({ kind }) => kind !== "Pod"),
};

/** Makes the reports of all these, gives their addresses to `work`, and removes them. */
export async function withReports(palisade, work) {
  const folder = mkdtempSync(join(tmpdir(), "palisade-reports-"));
  const report = (name) => join(folder, `${name}.html`);
  try {
    for (const [name, items] of Object.entries(CLUSTERS)) {
      const input = join(folder, `${name}.json`);
      writeFileSync(input, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
      execFileSync(palisade, ["policy-audit", "report", "-f", input, "-o", report(name)], { stdio: ["ignore", "ignore", "pipe"] });
    }
    // What a page of a still larger cluster says of pods: nothing.
    const page = readFileSync(report("large"), "utf8");
    writeFileSync(report("huge"), page.replace('"singles":true', '"singles":false').replaceAll(/,"singles":\[(\[[^\]]*\],?)*\]/g, ""));
    const names = [...Object.keys(CLUSTERS), "huge"];
    return await work(Object.fromEntries(names.map((name) => [name, pathToFileURL(report(name)).href])));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
