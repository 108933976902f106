// Contrast of text as WCAG 2.2 computes it (relative luminance, success criterion 1.4.3).

/** Runs within a page: every text that is in sight, and those that are hard to read. */
export function contrasts() {
  const canvas = document.createElement("canvas");
  canvas.width = 1;
  canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  // The browser itself turns any notation into numbers.
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, bottom) => top.slice(0, 3).map((value, index) => value * top[3] + bottom[index] * (1 - top[3]));
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      const paint = at instanceof SVGElement ? null : rgba(style.backgroundColor);
      if (paint && paint[3] > 0) layers.push(paint);
      if (paint && paint[3] === 1) break;
      // A node of the graph lies on its own rectangle.
      const box = at instanceof SVGGElement && at.querySelector(":scope > rect");
      if (box) {
        layers.push(rgba(getComputedStyle(box).fill));
        break;
      }
    }
    return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const luminance = (colour) => {
    const [red, green, blue] = colour.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const poor = [];
  let checked = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("script, style, option, [aria-hidden=true]")) continue;
    checked += 1;
    const style = getComputedStyle(element);
    const background = behind(element);
    const text = over(rgba(element instanceof SVGElement ? style.fill : style.color), background);
    const [light, dark] = [luminance(text), luminance(background)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${ratio.toFixed(2)} ${element.tagName} ${element.className} ${walker.currentNode.data.trim().slice(0, 30)}`);
  }
  return { checked, poor: [...new Set(poor)] };
}
