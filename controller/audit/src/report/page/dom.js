// Making elements. Text is always text: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function counted(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

// A few words to choose one of, as buttons that are radio buttons.
function choice(legend, name, options, chosen, change) {
  const labels = Object.entries(options).map(([value, words]) =>
    make("label", {},
      make("input", { type: "radio", name, value, checked: value === chosen, onchange: () => change(value) }),
      words));
  return make("fieldset", { class: "choice" }, make("legend", {}, legend), ...labels);
}
