// That nothing lies beneath something else, on screens of any width, by keys, in forced colours and on paper.

import assert from "node:assert/strict";

const PHONE = { width: 390, height: 844, phone: true };
const BARS = "Math.max(0, ...[...document.querySelectorAll('.masthead, .filter')].filter((it) => getComputedStyle(it).position === 'sticky').map((it) => it.getBoundingClientRect().bottom))";
const FOCUS = "document.activeElement.getBoundingClientRect()";

const box = (page, selector) => page.evaluate(`(({ left, right, top, bottom }) => ({ left, right, top, bottom }))(document.querySelector(${JSON.stringify(selector)}).getBoundingClientRect())`);
const click = (page, selector) => page.evaluate(`document.querySelector(${JSON.stringify(selector)}).dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }))`);
const choose = (page, name) => page.evaluate(`[...document.querySelectorAll(".node")].find((it) => it.getAttribute("aria-label").startsWith(${JSON.stringify(name)})).dispatchEvent(new MouseEvent("click", { bubbles: true }))`);

/** The checks of what is to be seen, and where. */
export function screenChecks(reports) {
  return {
    async "a link leads below the bars, however wide the screen"(browser) {
      for (const width of [390, 769, 900, 1024, 1057, 1200, 1440]) {
        const page = await browser.open(reports.shop, { width, height: 800 });
        await page.evaluate("document.querySelector('nav a[href=\"#namespaces\"]').click()");
        await page.still();
        const [bars, { top }] = [await page.evaluate(BARS), await box(page, "#namespaces")];
        assert.ok(top >= bars - 1 && top < bars + 40, `at ${width} it is at ${top}, below ${bars}`);
        await page.close();
      }
      return browser.open(reports.shop);
    },

    async "in a long page a link leads where it says"(browser) {
      for (const screen of [PHONE, { ...PHONE, height: 500 }, {}]) {
        for (const target of ["#matrix", "#policy/team-100/app-5"]) {
          const page = await browser.open(reports.large, screen);
          await page.evaluate(`(() => { const link = document.createElement("a"); link.href = ${JSON.stringify(target)}; document.body.append(link); link.click(); link.remove(); })()`);
          await page.still();
          const top = await page.evaluate(`document.getElementById(${JSON.stringify(target.slice(1))}).getBoundingClientRect().top`);
          const bars = await page.evaluate(BARS);
          assert.ok(top >= bars - 1 && top < bars + 40, `${target} is at ${top}, below ${bars}`);
          await page.close();
        }
      }
      const page = await browser.open(`${reports.large}#policy/team-100/app-5`);
      await page.still();
      const top = await page.evaluate("document.getElementById('policy/team-100/app-5').getBoundingClientRect().top");
      assert.ok(top >= await page.evaluate(BARS) - 1 && top < 300, `opened there, it is at ${top}`);
      return page;
    },

    async "a link that is no address goes nowhere"(browser) {
      const page = await browser.open(`${reports.shop}#%`);
      assert.deepEqual(page.errors, []);
      await page.evaluate("location.hash = '#%E0%A4%A'");
      await page.settled();
      assert.deepEqual(page.errors, []);
      return page;
    },

    async "a policy that the panel leads to is beside it, or the panel makes way"(browser) {
      for (const width of [1000, 1200, 1440, 1920]) {
        const page = await browser.open(reports.shop, { width, height: 900 });
        await click(page, "td[aria-label^='shop/checkout to payments/api']");
        await page.evaluate("[...document.querySelectorAll('#details a')].find((it) => it.textContent === 'shop/checkout-egress').click()");
        await page.still();
        const [policy, panel] = [await box(page, "[id='policy/shop/checkout-egress']"), await box(page, "#details")];
        const isOpen = await page.evaluate("document.getElementById('details').open");
        assert.equal(isOpen, width >= 1200, `at ${width}`);
        if (isOpen) assert.ok(policy.right <= panel.left, `at ${width} it ends at ${policy.right}, beneath ${panel.left}`);
        await page.close();
      }
      return browser.open(reports.shop);
    },

    async "a node that is chosen is beside the panel, or above it"(browser) {
      const page = await browser.open(reports.shop);
      await page.evaluate("document.getElementById('graph').scrollIntoView()");
      await choose(page, "payments/ledger");
      const [node, panel] = [await box(page, ".node.chosen"), await box(page, "#details")];
      assert.ok(node.right <= panel.left, `it ends at ${node.right}, beneath ${panel.left}`);
      await page.close();
      const phone = await browser.open(reports.shop, PHONE);
      await choose(phone, "payments/ledger");
      await phone.settled();
      const [small, below] = [await box(phone, ".node.chosen"), await box(phone, "#details")];
      assert.ok(small.top >= await phone.evaluate(BARS) && small.bottom <= below.top, `it is from ${small.top} to ${small.bottom}, above ${below.top}`);
      assert.ok(small.left >= 0 && small.right <= 390, `it is from ${small.left} to ${small.right}`);
      return phone;
    },

    async "keys lead to no cell beneath the headers of the matrix"(browser) {
      const page = await browser.open(reports.wide);
      await page.evaluate("document.querySelector('input[name=matrix-grain][value=classes]').click()");
      await page.evaluate("document.querySelector('.matrix td[tabindex=\"0\"]').focus()");
      await page.press("End");
      const columns = await page.evaluate("document.querySelectorAll('.matrix thead th').length - 1");
      assert.equal(columns, 60);
      for (let step = 1; step < columns; step += 1) {
        await page.press("ArrowLeft");
        const hidden = await page.evaluate(`document.querySelector(".matrix .corner").getBoundingClientRect().right - ${FOCUS}.left`);
        assert.ok(hidden <= 1, `after ${step} steps ${hidden} of it are hidden`);
      }
      for (let step = 0; step < 6; step += 1) await page.press("PageDown");
      for (let step = 1; step < 59; step += 1) {
        await page.press("ArrowUp");
        const hidden = await page.evaluate(`Math.max(document.querySelector(".matrix .corner").getBoundingClientRect().bottom, ${BARS}) - ${FOCUS}.top`);
        assert.ok(hidden <= 1, `after ${step} steps ${hidden} of it are hidden`);
      }
      return page;
    },

    async "what the panel is replaced by has the focus"(browser) {
      const page = await browser.open(reports.shop);
      await page.evaluate("document.querySelector('input[name=matrix-grain][value=namespaces]').click()");
      await click(page, "td[aria-label^='shop to payments']");
      await page.evaluate("document.querySelector('#details-body button').focus()");
      await page.press("Enter");
      assert.equal(await page.evaluate("document.activeElement.id"), "details-title");
      assert.match(await page.evaluate("document.activeElement.textContent"), /^shop\/.+ → payments\//);
      return page;
    },

    async "in forced colours focus, choice and kinds of cells can be told"(browser) {
      const page = await browser.open(reports.shop);
      await page.send("Emulation.setEmulatedMedia", { features: [{ name: "forced-colors", value: "active" }] });
      const style = (selector, property) => page.evaluate(`getComputedStyle(document.querySelector(${JSON.stringify(selector)})).${property}`);
      await page.evaluate("document.querySelector('.matrix td[tabindex=\"0\"]').focus()");
      await page.press("ArrowRight");
      assert.equal(await style(".matrix td:focus", "outlineStyle"), "solid");
      await click(page, "td[aria-label^='shop/checkout to payments/api']");
      assert.equal(await style(".matrix td.chosen", "outlineStyle"), "solid");
      assert.equal(await style(".choice label:has(:checked)", "outlineStyle"), "solid");
      assert.equal(await style(".choice label:not(:has(:checked))", "outlineStyle"), "none");
      assert.match(await style(".matrix td.inapplicable", "backgroundImage"), /gradient/);
      assert.notEqual(await style(".matrix td.all", "borderTopStyle"), await style(".matrix td.none", "borderTopStyle"));
      assert.equal(await style(".matrix td.first-column", "borderLeftWidth"), "3px");
      await page.evaluate("document.querySelector('.node[tabindex=\"0\"]').focus()");
      await page.press("ArrowRight");
      assert.notEqual(await style(".node:focus rect", "stroke"), await style(".node:not(:focus) rect", "stroke"));
      return page;
    },

    async "paper has all columns of a wide matrix, and the whole graph"(browser) {
      const page = await browser.open(reports.wide);
      await page.evaluate("document.querySelector('input[name=matrix-grain][value=classes]').click()");
      const drawn = () => page.evaluate("document.querySelector('.canvas svg').getAttribute('viewBox')");
      await page.evaluate("document.querySelector('.canvas button[aria-label=\"Zoom in\"]').click()");
      const before = await drawn();
      await page.onPaper();
      const tables = await page.evaluate(`[...document.querySelectorAll(".matrix")].filter((it) => it.checkVisibility())
        .map((it) => [it.getBoundingClientRect().width, it.querySelectorAll("thead th.column").length])`);
      assert.ok(tables.length > 1 && tables.every(([width]) => width <= 688), JSON.stringify(tables));
      assert.equal(tables.reduce((sum, [, columns]) => sum + columns, 0), 60);
      const notes = await page.evaluate("[...document.querySelectorAll('#matrix-paper .note')].map((it) => it.textContent)");
      assert.match(notes[0], /the first 60 of 7\d sources/);
      assert.equal(notes[1], `Columns 1–${tables[0][1]} of 60`);
      assert.notEqual(await drawn(), before);
      assert.equal(await page.evaluate("getComputedStyle(document.querySelector('.legend span')).printColorAdjust"), "exact");
      await page.evaluate("dispatchEvent(new Event('afterprint'))");
      assert.equal(await drawn(), before);
      assert.equal(await page.evaluate("document.getElementById('matrix-paper')"), null);
      return page;
    },

    async "paper says what is filtered, and has every rule in full"(browser) {
      const page = await browser.open(reports.alike);
      const line = "document.getElementById('filtered')";
      await page.onPaper();
      assert.equal(await page.evaluate(`${line}.checkVisibility()`), false);
      assert.ok(await page.evaluate("document.querySelector('.full').open"));
      await page.evaluate("dispatchEvent(new Event('afterprint'))");
      assert.ok(!await page.evaluate("document.querySelector('.full').open"));
      await page.filter({ text: "web", namespace: "shop", port: "5432" });
      assert.equal(await page.evaluate(`${line}.checkVisibility() && ${line}.textContent`), "Only what matches this is shown: the words “web”; namespace shop. The matrix and the graph are those of port 5432.");
      return page;
    },
  };
}
