// Takes the pictures of the documentation: `node pictures.mjs REPORT.html FOLDER`.

import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { withBrowser } from "./browser.mjs";

const [report, folder] = process.argv.slice(2);
const url = pathToFileURL(resolve(report)).href;
const section = (id) => `document.getElementById("${id}").scrollIntoView()`;
const cell = (from, to) => `document.querySelector('td[aria-label^="${from} to ${to}:"]').click()`;

const pictures = {
  "report-desk-light": { screen: { width: 1440, height: 900 }, steps: [] },
  "report-desk-dark": {
    screen: { width: 1440, height: 900, scheme: "dark" },
    steps: [section("matrix"), cell("shop/checkout", "payments/api")],
  },
  "report-graph": { screen: { width: 1440, height: 900 }, steps: [section("graph")] },
  "report-phone-light": { screen: { width: 390, height: 844, phone: true, scale: 2 }, steps: [] },
  "report-phone-dark": {
    screen: { width: 390, height: 844, phone: true, scale: 2, scheme: "dark" },
    steps: [section("matrix"), cell("shop/checkout", "payments/api")],
  },
};

await withBrowser(async (browser) => {
  for (const [name, { screen, steps }] of Object.entries(pictures)) {
    const page = await browser.open(url, screen);
    for (const step of steps) {
      await page.evaluate(step);
      await page.settled();
    }
    const picture = await page.picture();
    writeFileSync(join(folder, `${name}.png`), picture);
    console.log(`${name}.png ${Math.ceil(picture.length / 1000)} kB`);
    await page.close();
  }
});
