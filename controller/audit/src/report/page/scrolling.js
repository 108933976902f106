// Where links lead: below the bars that stay at the top, and whatever the filter hides.

const bars = [".masthead", ".filter"].map((selector) => document.querySelector(selector));

// How much of the top is covered: the bars are as high as the width of the screen makes them.
function barsHeight() {
  return bars.reduce((sum, bar) => sum + barHeight(bar), 0);
}

function barHeight(bar) {
  return getComputedStyle(bar).position === "sticky" ? bar.getBoundingClientRect().height : 0;
}

function measureBars() {
  const { style } = document.documentElement;
  style.setProperty("--head", `${barHeight(bars[0])}px`);
  style.setProperty("--sticky", `${barsHeight()}px`);
}

const barsObserver = new ResizeObserver(measureBars);
for (const bar of bars) barsObserver.observe(bar);
measureBars();

function targetOf(hash) {
  try {
    return document.getElementById(decodeURIComponent(hash.slice(1)));
  } catch {
    // A person may write anything there.
    return null;
  }
}

// Of a very long page a browser lays out what comes into sight, and what is above changes its height: stays at the target
// until that is done, or somebody scrolls.
const SETTLING = 20;
let arriving = 0;

function arrive(target, frames = SETTLING) {
  cancelAnimationFrame(arriving);
  if (!target || !frames) return;
  target.scrollIntoView();
  arriving = requestAnimationFrame(() => arrive(target, frames - 1));
}

for (const kind of ["wheel", "touchstart", "pointerdown", "keydown"]) {
  addEventListener(kind, () => cancelAnimationFrame(arriving), { passive: true, capture: true });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='#']");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) requestAnimationFrame(() => arrive(targetOf(link.hash)));
});

// Beside the panel there is room for the policies that it leads to, or it makes way.
const roomBeside = matchMedia("(min-width: 75rem)");

// A link to a policy that the filter hides shows it all the same.
function showTarget() {
  const article = targetOf(location.hash)?.closest(".policy");
  if (!article) return;
  if (!roomBeside.matches) closeDetails(false);
  if (article.hidden) {
    article.hidden = false;
    arrive(targetOf(location.hash));
  }
  article.focus({ preventScroll: true });
}
addEventListener("hashchange", showTarget);
