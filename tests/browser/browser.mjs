// A browser to look at a page with: Chromium without a window, driven by its DevTools protocol over a pipe.
//
// Nothing but Node is needed. The pipe (`--remote-debugging-pipe`) is file descriptors 3 and 4, with a zero byte after each
// message; no port is opened.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BROWSER = process.env.CHROMIUM ?? "chromium";
const PATIENCE = 30_000;

/** Starts a browser, gives it to `work`, and stops it in any case. */
export async function withBrowser(work) {
  const profile = mkdtempSync(join(tmpdir(), "palisade-browser-"));
  const child = spawn(BROWSER, [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--no-first-run", "--disable-background-networking", "--disable-component-update",
    // No name resolves: what asked for one would fail, and be seen.
    "--host-resolver-rules=MAP * ~NOTFOUND", `--user-data-dir=${profile}`, "--remote-debugging-pipe", "about:blank",
  ], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
  const gone = new Promise((_, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`${BROWSER} ended with ${code}`)));
  });
  gone.catch(() => {});
  const browser = new Browser(child);
  try {
    return await Promise.race([work(browser), gone]);
  } finally {
    // Asked to close, it ends all of its processes; the pipe's other end is gone if it has ended by itself.
    browser.send("Browser.close").catch(() => {});
    await gone.catch(() => {});
    rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

class Browser {
  #next = 1;
  #waiting = new Map();
  #listeners = [];
  #pipe;

  constructor(child) {
    this.#pipe = child.stdio[3];
    let rest = "";
    child.stdio[4].setEncoding("utf8").on("data", (text) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop();
      for (const message of messages) this.#receive(JSON.parse(message));
    });
  }

  #receive(message) {
    if (message.id === undefined) {
      for (const listener of this.#listeners) listener(message);
      return;
    }
    const { resolve, reject } = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.error) reject(new Error(message.error.message));
    else resolve(message.result);
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.#next;
    this.#next += 1;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${method} was not answered`)), PATIENCE);
      const settle = (done) => (value) => {
        clearTimeout(late);
        done(value);
      };
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
      this.#pipe.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  listen(listener) {
    this.#listeners.push(listener);
  }

  /** Opens `url` on a screen of a size, in `light` or `dark`, with or without scripts. */
  async open(url, { width = 1440, height = 900, scheme = "light", phone = false, scripts = true, scale = 1 } = {}) {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId, targetId);
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await page.send(`${domain}.enable`);
    await page.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: scale, mobile: phone });
    await page.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
    if (!scripts) await page.send("Emulation.setScriptExecutionDisabled", { value: true });
    const loaded = page.event("Page.loadEventFired");
    await page.send("Page.navigate", { url });
    await loaded;
    return page;
  }
}

class Page {
  /** What went wrong: uncaught errors, console errors, refusals of the security policy. */
  errors = [];
  /** Every address that was asked for. */
  requests = [];

  constructor(browser, session, target) {
    this.browser = browser;
    this.session = session;
    this.target = target;
    this.waiting = [];
    browser.listen((message) => {
      if (message.sessionId === session) this.#note(message);
    });
  }

  #note({ method, params }) {
    if (method === "Runtime.exceptionThrown") this.errors.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === "Runtime.consoleAPICalled" && params.type === "error") this.errors.push(params.args.map((it) => it.value).join(" "));
    if (method === "Log.entryAdded" && params.entry.level === "error") this.errors.push(params.entry.text);
    if (method === "Network.requestWillBeSent") this.requests.push(params.request.url);
    this.waiting = this.waiting.filter((wait) => {
      if (wait.method === method) wait.resolve(params);
      return wait.method !== method;
    });
  }

  send(method, params) {
    return this.browser.send(method, params, this.session);
  }

  event(method) {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${method} did not come`)), PATIENCE);
      this.waiting.push({ method, resolve: (params) => { clearTimeout(late); resolve(params); } });
    });
  }

  /** The value of an expression, or of what it promises. */
  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Waits until the page has drawn what was asked of it. */
  settled() {
    return this.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))");
  }

  /** Waits until an expression is true. */
  until(expression) {
    return this.evaluate(`new Promise((done, fail) => {
      const end = performance.now() + ${PATIENCE / 2};
      const look = () => {
        if (${expression}) done(true);
        else if (performance.now() > end) fail(new Error(${JSON.stringify(`it never came: ${expression}`)}));
        else requestAnimationFrame(look);
      };
      look();
    })`);
  }

  /** Waits until nothing has moved the page for some frames: of a long page, layout goes on while it is scrolled. */
  still() {
    return this.evaluate(`new Promise((done) => {
      let [place, frames] = [scrollY, 0];
      const look = () => {
        frames = scrollY === place ? frames + 1 : 0;
        place = scrollY;
        if (frames > 30) done(place);
        else requestAnimationFrame(look);
      };
      look();
    })`);
  }

  /** Writes into the filter's fields, those that are not named being empty. */
  async filter(fields) {
    await this.evaluate(`(() => {
      const form = document.forms.filter;
      for (const name of ["text", "namespace", "port", "isolation"]) form.elements[name].value = ${JSON.stringify(fields)}[name] ?? "";
      form.dispatchEvent(new Event("input", { bubbles: true }));
    })()`);
    await this.settled();
  }

  /** What a browser does before it prints, on paper of A4. */
  async onPaper() {
    await this.evaluate("dispatchEvent(new Event('beforeprint'))");
    await this.send("Emulation.setEmulatedMedia", { media: "print" });
    await this.send("Emulation.setDeviceMetricsOverride", { width: 688, height: 990, deviceScaleFactor: 1, mobile: false });
    await this.settled();
  }

  /** Presses a key as a person would. */
  async press(key, modifiers = 0) {
    const special = { Enter: 13, Escape: 27, ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40, Home: 36, End: 35, PageUp: 33, PageDown: 34, Tab: 9, "/": 191 };
    const text = key.length === 1 ? key : key === "Enter" ? "\r" : undefined;
    const event = { key, code: key, windowsVirtualKeyCode: special[key] ?? key.toUpperCase().charCodeAt(0), modifiers };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", text, ...event });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
    await this.settled();
  }

  async type(text) {
    await this.send("Input.insertText", { text });
    await this.settled();
  }

  /** A picture, PNG, of the screen as it is. */
  async picture() {
    await this.settled();
    const { data } = await this.send("Page.captureScreenshot", { format: "png" });
    return Buffer.from(data, "base64");
  }

  /** The page on paper. */
  async print() {
    const { data } = await this.send("Page.printToPDF", { printBackground: false, preferCSSPageSize: true });
    return Buffer.from(data, "base64");
  }

  close() {
    return this.browser.send("Target.closeTarget", { targetId: this.target });
  }
}
