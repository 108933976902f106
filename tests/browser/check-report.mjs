// Opens reports in a browser and tries what a person would: `node check-report.mjs REPORT.html HOSTILE.html PALISADE`.
//
// The first page is of the sample shop, the second of objects whose names and labels try to become markup. The program makes
// those of the clusters in `clusters.mjs`.

import assert from "node:assert/strict";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { withBrowser } from "./browser.mjs";
import { otherChecks } from "./check-clusters.mjs";
import { screenChecks } from "./check-screens.mjs";
import { withReports } from "./clusters.mjs";
import { contrasts } from "./contrast.mjs";

const [shop, hostile] = process.argv.slice(2, 4).map((file) => pathToFileURL(resolve(file)).href);
const program = process.argv[4];
const PHONE = { width: 390, height: 844, phone: true };

const checks = {
  async "nothing is asked of the network and nothing goes wrong"(browser) {
    const page = await browser.open(shop);
    assert.deepEqual(page.requests, [shop]);
    assert.deepEqual(page.errors, []);
    return page;
  },

  async "the security policy refuses what the page does not need"(browser) {
    const page = await browser.open(shop);
    const refused = await page.evaluate(`new Promise((done) => {
      document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
      fetch("https://palisade.invalid/").catch(() => {});
    })`);
    assert.equal(refused, "connect-src");
    const handler = await page.evaluate(`new Promise((done) => {
      document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
      const element = document.createElement("div");
      element.setAttribute("onclick", "window.ran = true");
      element.click();
    })`);
    assert.match(handler, /script-src/);
    assert.equal(await page.evaluate("window.ran"), undefined);
    assert.ok(page.requests.every((url) => url === shop), page.requests.join());
    return page;
  },

  async "the slash goes to the search, which filters every section, and Escape clears it"(browser) {
    const page = await browser.open(shop);
    const count = (selector) => page.evaluate(`[...document.querySelectorAll(${JSON.stringify(selector)})].filter((it) => !it.closest("[hidden]")).length`);
    const all = await Promise.all([".matrix tbody tr", ".policy", ".finding", ".node"].map(count));
    await page.press("/");
    assert.equal(await page.evaluate("document.activeElement.id"), "search");
    await page.type("ledger");
    await page.until(`document.querySelectorAll(".node").length < ${all[3]}`);
    const some = await Promise.all([".matrix tbody tr", ".policy", ".finding", ".node"].map(count));
    some.slice(0, 2).forEach((left, index) => assert.ok(left > 0 && left < all[index], `${left} of ${all[index]}`));
    assert.ok(some[3] > 0 && some[3] < all[3]);
    assert.match(await page.evaluate("document.getElementById('matches').textContent"), /polic/);
    // The drawing waits for a pause; the rest does not.
    const at = await page.evaluate(`(() => {
      const drawn = document.querySelector(".canvas svg");
      document.getElementById("search").dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
      return [document.querySelectorAll(".matrix tbody tr").length, drawn.isConnected];
    })()`);
    assert.deepEqual(at, [all[0], true]);
    await page.until(`document.querySelectorAll(".node").length === ${all[3]}`);
    assert.deepEqual(await Promise.all([".matrix tbody tr", ".policy", ".finding", ".node"].map(count)), all);
    return page;
  },

  async "a port shows in each cell whether it is allowed"(browser) {
    const page = await browser.open(shop);
    const cell = "document.querySelector('td[aria-label^=\"shop/catalog to shop/catalog-db\"]')";
    assert.equal(await page.evaluate(`${cell}.textContent`), "5432");
    const choose = async (port) => {
      await page.evaluate(`(() => { const field = document.forms.filter.elements.port; field.value = ${JSON.stringify(port)}; field.dispatchEvent(new Event("input", { bubbles: true })); })()`);
      await page.settled();
      return page.evaluate(`${cell}.className.split(" ")[0] + " " + ${cell}.textContent`);
    };
    assert.equal(await choose("5432"), "all yes");
    assert.equal(await choose("5432/udp"), "none ·");
    assert.equal(await choose("80"), "none ·");
    await choose("eighty");
    assert.equal(await page.evaluate("document.forms.filter.elements.port.getAttribute('aria-invalid')"), "true");
    return page;
  },

  async "namespace, isolation and findings filter too"(browser) {
    const page = await browser.open(shop);
    const set = async (change) => {
      await page.evaluate(`(() => { const form = document.forms.filter; form.reset(); ${change}; form.dispatchEvent(new Event("input", { bubbles: true })); })()`);
      await page.settled();
      return page.evaluate("[...document.querySelectorAll('.matrix tbody th')].map((it) => it.textContent)");
    };
    const payments = await set("form.elements.namespace.value = 'payments'");
    assert.ok(payments.length > 0 && payments.every((name) => name.startsWith("payments/")), payments.join());
    const open = await set("form.elements.isolation.value = 'ingress-none'");
    assert.deepEqual(open, ["monitoring/prometheus"]);
    const found = await set("form.elements.findings.checked = true");
    assert.ok(found.includes("shop/cart-cache") && !found.includes("shop/catalog-db"), found.join());
    return page;
  },

  async "arrow keys move in the matrix, Enter says why, Escape goes back"(browser) {
    const page = await browser.open(shop);
    const where = () => page.evaluate("[document.activeElement.dataset.row, document.activeElement.dataset.column].join()");
    assert.equal(await page.evaluate("document.querySelectorAll('.matrix td[tabindex=\"0\"]').length"), 1);
    await page.evaluate("document.querySelector('.matrix td[tabindex=\"0\"]').focus()");
    assert.equal(await where(), "0,0");
    for (const [key, place] of [["ArrowRight", "0,1"], ["ArrowDown", "1,1"], ["ArrowLeft", "1,0"], ["ArrowLeft", "1,0"], ["ArrowUp", "0,0"]]) {
      await page.press(key);
      assert.equal(await where(), place, key);
    }
    await page.press("End");
    const columns = await page.evaluate("document.querySelectorAll('.matrix thead th').length - 1");
    assert.equal(await where(), `0,${columns - 1}`);
    await page.press("Home");
    await page.press("Enter");
    assert.equal(await page.evaluate("document.getElementById('details').open"), true);
    await page.press("Escape");
    assert.equal(await page.evaluate("document.getElementById('details').open"), false);
    assert.equal(await where(), "0,0");
    return page;
  },

  async "a cell names the policies and rules responsible, on both sides"(browser) {
    const page = await browser.open(shop);
    await page.evaluate("document.querySelector('td[aria-label^=\"shop/checkout to payments/api\"]').click()");
    const text = await page.evaluate("document.getElementById('details').innerText");
    for (const part of ["8443/TCP", "Out of shop/checkout", "shop/checkout-egress", "Into payments/api", "rule 1: from pods with app=checkout"]) {
      assert.ok(text.includes(part), `${part}\n${text}`);
    }
    await page.evaluate("document.querySelector('td[aria-label^=\"shop/cart to payments/ledger\"]').click()");
    const denied = await page.evaluate("document.getElementById('details').innerText");
    assert.ok(denied.includes("Nothing is allowed") && denied.includes("payments/ledger"), denied);
    // A rule for these, on a port that nobody declares.
    await page.evaluate("document.querySelector('td[aria-label^=\"shop/cart to shop/cart-cache\"]').click()");
    const unnamed = await page.evaluate("document.getElementById('details').innerText");
    assert.ok(unnamed.includes("Nothing is allowed") && unnamed.includes("Rules that speak of shop/cart:") && unnamed.includes("named valkey"), unnamed);
    return page;
  },

  async "a link leads to a policy, shown even where the filter hides it"(browser) {
    const page = await browser.open(shop);
    await page.evaluate("document.getElementById('search').value = 'catalog'; document.getElementById('search').dispatchEvent(new Event('input', { bubbles: true }))");
    await page.settled();
    await page.evaluate("location.hash = '#policy/payments/api'");
    await page.settled();
    await page.settled();
    const top = await page.evaluate("document.getElementById('policy/payments/api').getBoundingClientRect().top");
    assert.ok(top >= 0 && top < 900, `it is at ${top}`);
    assert.equal(await page.evaluate("document.activeElement.id"), "policy/payments/api");
    return page;
  },

  async "the graph is drawn within its canvas and its nodes answer to keys"(browser) {
    const page = await browser.open(shop);
    assert.ok(await page.evaluate("document.querySelectorAll('.node').length") >= 12);
    assert.ok(await page.evaluate("document.querySelectorAll('.edge').length") >= 8);
    const overlaps = await page.evaluate(`(() => {
      const boxes = [...document.querySelectorAll(".node")].map((it) => it.getBoundingClientRect());
      return boxes.filter((a, i) => boxes.some((b, j) => i < j && a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)).length;
    })()`);
    assert.equal(overlaps, 0);
    await page.evaluate("document.querySelector('.node[tabindex=\"0\"]').focus()");
    const first = await page.evaluate("document.activeElement.getAttribute('aria-label')");
    await page.press("ArrowRight");
    assert.notEqual(await page.evaluate("document.activeElement.getAttribute('aria-label')"), first);
    await page.press("Enter");
    assert.ok(await page.evaluate("document.querySelectorAll('.node.chosen').length") === 1);
    await page.press("Escape");
    assert.ok(await page.evaluate("document.activeElement.classList.contains('node')"));
    return page;
  },

  async "the theme can be turned"(browser) {
    const page = await browser.open(shop, { scheme: "dark" });
    const paper = () => page.evaluate("getComputedStyle(document.body).backgroundColor");
    const dark = await paper();
    await page.evaluate("document.getElementById('theme').click()");
    assert.notEqual(await paper(), dark);
    await page.evaluate("document.getElementById('theme').click()");
    assert.equal(await paper(), dark);
    return page;
  },

  async "a phone has nothing to scroll sideways but what scrolls by itself"(browser) {
    const page = await browser.open(shop, PHONE);
    assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 390);
    const beyond = await page.evaluate(`[...document.querySelectorAll("main *, header *, footer *")]
      .filter((it) => !it.closest(".scroll, nav, svg") && it.getBoundingClientRect().right > 390.5).map((it) => it.outerHTML.slice(0, 80))`);
    assert.deepEqual(beyond, []);
    return page;
  },

  async "nothing moves once it is there"(browser) {
    const page = await browser.open(shop);
    const shift = await page.evaluate(`new Promise((done) => {
      let sum = 0;
      new PerformanceObserver((list) => { for (const entry of list.getEntries()) sum += entry.value; }).observe({ type: "layout-shift", buffered: true });
      requestAnimationFrame(() => requestAnimationFrame(() => done(sum)));
    })`);
    assert.ok(shift < 0.01, `shifted by ${shift}`);
    return page;
  },

  async "without a program, summary, findings, matrix and policies are there"(browser) {
    const page = await browser.open(shop, { scripts: false });
    const { root } = await page.send("DOM.getDocument", { depth: -1 });
    const find = async (selector) => (await page.send("DOM.querySelectorAll", { nodeId: root.nodeId, selector })).nodeIds.length;
    for (const selector of [".figures dd", ".finding", ".policy .rules li", "table.matrix td", ".coverage tbody tr"]) {
      assert.ok(await find(selector) > 0, selector);
    }
    assert.equal(await find(".with-program:not([hidden])"), 0);
    return page;
  },

  async "it prints"(browser) {
    const page = await browser.open(shop, { scheme: "dark" });
    const pdf = await page.print();
    assert.equal(pdf.subarray(0, 5).toString(), "%PDF-");
    assert.ok(pdf.length > 20_000, `${pdf.length} bytes`);
    return page;
  },

  async "names that try to be markup stay text"(browser) {
    const page = await browser.open(hostile);
    assert.deepEqual(page.errors, []);
    assert.deepEqual(page.requests, [hostile]);
    assert.equal(await page.evaluate("window.broken"), undefined);
    assert.ok(await page.evaluate("document.body.innerText.includes('<script>')"), "the text is shown as it is");
    await page.evaluate("for (const cell of document.querySelectorAll('.matrix td')) cell.click()");
    await page.evaluate("for (const node of document.querySelectorAll('.node')) node.dispatchEvent(new MouseEvent('click', { bubbles: true }))");
    assert.ok(await page.evaluate("document.getElementById('details').innerText.length") > 0);
    assert.equal(await page.evaluate("document.querySelectorAll('script').length"), 2);
    assert.equal(await page.evaluate("document.querySelectorAll('img, iframe').length"), 0);
    return page;
  },
};

for (const scheme of ["light", "dark"]) {
  checks[`text has the contrast of WCAG AA in ${scheme} colours`] = async (browser) => {
    const page = await browser.open(shop, { scheme });
    await page.evaluate("document.querySelector('td[aria-label^=\"shop/checkout to payments/api\"]').click()");
    const { checked, poor } = await page.evaluate(`(${contrasts})()`);
    assert.ok(checked > 300, `only ${checked} texts`);
    assert.deepEqual(poor, []);
    return page;
  };
}

let failed = 0;
await withReports(program, (reports) => withBrowser(async (browser) => {
  Object.assign(checks, screenChecks({ shop, ...reports }), otherChecks({ shop, ...reports }));
  for (const [name, check] of Object.entries(checks)) {
    try {
      const page = await check(browser);
      await page.close();
      console.log(`ok    ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${name}\n${error.stack}\n`);
    }
  }
}));
console.log(failed ? `${failed} of ${Object.keys(checks).length} failed` : `${Object.keys(checks).length} checks, all hold`);
process.exitCode = failed ? 1 : 0;
