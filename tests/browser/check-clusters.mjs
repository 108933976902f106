// What a report says of clusters that are large, empty, or of two address families, and what the search finds in them.

import assert from "node:assert/strict";

const texts = (page, selector) => page.evaluate(`[...document.querySelectorAll(${JSON.stringify(selector)})].map((it) => it.textContent)`);
const rows = (page) => texts(page, ".matrix tbody th");

/** The checks of the reports of `clusters.mjs`. */
export function otherChecks(reports) {
  const open = async (browser, name) => {
    const page = await browser.open(reports[name]);
    assert.deepEqual(page.errors, []);
    return page;
  };

  const finds = async (page, expected) => {
    for (const [text, found] of Object.entries(expected)) {
      await page.filter({ text });
      assert.deepEqual(await rows(page), found, text);
    }
  };

  return {
    async "where rows are namespaces, all of the page calls them by their names"(browser) {
      const page = await open(browser, "large");
      const nodes = await texts(page, ".node text");
      assert.ok(nodes.includes("team-000 ×10"), nodes.join());
      assert.equal(new Set(nodes).size, nodes.length, "no two nodes have the same name");
      assert.ok((await rows(page)).includes("team-000"));
      assert.match(await page.evaluate("document.querySelector('#matrix .hint').textContent"), /the pods of a namespace are one/);
      return page;
    },

    async "a cell that speaks of a part only looks and reads like that"(browser) {
      const page = await open(browser, "large");
      const cells = await page.evaluate("[...document.querySelectorAll('.matrix td')].map((it) => [it.title, it.className, it.textContent])");
      const part = cells.filter(([title]) => title.includes("not between all"));
      assert.ok(part.length > 0);
      for (const [title, kind, text] of part) assert.ok(/\bpart\b/.test(kind) && text.startsWith("part"), `${title}: ${kind} ${text}`);
      assert.ok((await texts(page, ".legend li")).some((entry) => entry.startsWith("part 443")));
      return page;
    },

    async "a pod is found by its name, its labels and its addresses"(browser) {
      const page = await open(browser, "alike");
      await finds(page, {
        "web-7d9f8c5b6d-abcde": ["shop/web"],
        "shop/web-7d9f8c5b6d-fghij": ["shop/web"],
        "shard=two": ["shop/web"],
        "abcde shard=two": [],
        "10.0.0.1": ["shop/web"],
        "fd00:0::2": ["shop/web"],
        "10.0.0.3": ["shop/db-0"],
        "10.0.0.": ["shop/db-0", "shop/web"],
      });
      await page.filter({ text: "fghij" });
      const policies = await texts(page, ".policy:not([hidden]) h3");
      assert.deepEqual(policies, ["shop/web"], "the policies that select it");
      assert.equal(await page.evaluate("document.querySelectorAll('.coverage tbody tr:not([hidden])').length"), 1);
      return page;
    },

    async "an address is found in the range that has it, not in one that leaves it out"(browser) {
      const page = await open(browser, "alike");
      await finds(page, {
        "172.16.14.1": ["172.16.14.0/24"],
        "172.16.14.0/24": ["172.16.14.0/24"],
        "172.16.14": ["172.16.14.0/24"],
        "192.0.2.1": ["other IPv4 addresses"],
        "2001:db8::1": ["any IPv6 address"],
        "172.16.14.0/23": ["other IPv4 addresses", "172.16.14.0/24"],
      });
      await page.filter({ text: "172.16.14.1" });
      await page.until("[...document.querySelectorAll('.node text')].some((it) => it.textContent === '172.16.14.0/24')");
      return page;
    },

    async "the panel lists the pods of a node, those that were searched first"(browser) {
      const page = await open(browser, "alike");
      await page.filter({ text: "fghij" });
      await page.until("document.querySelectorAll('.node').length > 0");
      await page.evaluate("[...document.querySelectorAll('.node')].find((it) => it.getAttribute('aria-label').startsWith('shop/web')).dispatchEvent(new MouseEvent('click', { bubbles: true }))");
      const pods = await texts(page, "#details .singles tr");
      assert.deepEqual(pods, ["web-7d9f8c5b6d-fghij shard=two10.0.0.2 fd00::2", "web-7d9f8c5b6d-abcde shard=one10.0.0.1 fd00::1"]);
      return page;
    },

    async "in a large cluster a pod is found in its namespace"(browser) {
      const page = await open(browser, "large");
      await finds(page, { "10.1.7.3": ["team-007"], "team-009/app-3-x7k2": ["team-009"], "app=app-3 tier=even": [], "team-012 app=app-3": ["team-012"] });
      return page;
    },

    async "a page that is too large for single pods says so"(browser) {
      const page = await open(browser, "huge");
      await page.filter({ text: "app-3-x7k2" });
      assert.match(await page.evaluate("document.getElementById('matches').textContent"), /single pods are not on this page/);
      await page.filter({ text: "team-003" });
      await page.until("document.querySelectorAll('.node').length === 1");
      await page.evaluate("document.querySelector('.node').dispatchEvent(new MouseEvent('click', { bubbles: true }))");
      assert.match(await page.evaluate("document.getElementById('details').innerText"), /too large for this page to have single pods/);
      return page;
    },

    async "the graph of two address families is that of one"(browser) {
      const drawn = async (name) => {
        const page = await open(browser, name);
        const graph = await page.evaluate("[[...document.querySelectorAll('.node text')].map((it) => it.textContent), document.querySelectorAll('path.edge').length]");
        await page.close();
        return graph;
      };
      assert.deepEqual(await drawn("dual"), await drawn("single"));
      return open(browser, "dual");
    },

    async "a cluster without pods says that it has none"(browser) {
      for (const name of ["empty", "policies"]) {
        const page = await open(browser, name);
        assert.deepEqual(await texts(page, ".empty"), ["There are no pods.", "There are no pods."]);
        assert.ok(!(await page.evaluate("document.body.innerText")).includes("of which there are none"));
        await page.close();
      }
      const page = await open(browser, "empty");
      assert.ok((await texts(page, ".figures div")).includes("Policies0every connection is allowed"));
      return page;
    },

    async "a rule that only counts some of its peers can be unfolded"(browser) {
      const page = await open(browser, "alike");
      const rule = "document.getElementById('policy/shop/web/ingress/1')";
      assert.match(await page.evaluate(`${rule}.firstChild.textContent`), /or 2 more/);
      await page.evaluate(`${rule}.querySelector("summary").click()`);
      assert.match(await page.evaluate(`${rule}.querySelector("details").innerText`), /172\.16\.14\.0\/24/);
      await page.evaluate("document.querySelector('td[aria-label^=\"172.16.14.0/24 to shop/web\"]').click()");
      const why = await page.evaluate("document.getElementById('details').innerText");
      assert.ok(why.includes("or 2 more") && !why.includes("In full"), why);
      return page;
    },
  };
}
