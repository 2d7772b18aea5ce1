// Building and updating the document. Text only ever becomes text nodes: nothing here can parse markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An HTML element: attributes, `on…` listeners, `data`, then children (nodes or text). */
export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);

/** An SVG element. */
export const s = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

/** Set text only where it differs, so that an unchanged page does no work. */
export function say(node, text) {
  const wanted = String(text ?? "");
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** Make the children of `list` show `items` in order: nodes are kept by key, made when new, updated when there. */
export function sync(list, items, key, make, update) {
  const old = new Map([...list.children].map((child) => [child.dataset.key, child]));
  const wanted = new Set(items.map((item, nth) => String(key(item, nth))));
  for (const [name, node] of old) if (!wanted.has(name)) node.remove(); // first: then nothing that stays is moved, and no focus is lost
  let place = list.firstElementChild;
  for (const [nth, item] of items.entries()) {
    const name = String(key(item, nth));
    let node = old.get(name);
    if (!node) {
      node = make(item);
      node.dataset.key = name;
    }
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else list.insertBefore(node, place);
  }
}

/** Call `work` at most once in `pause` ms, the last time after the last request. A hidden page waits until it is seen. */
export function calmly(work, pause) {
  let timer = 0;
  let last = 0;
  let wanted = false;
  let running = false;
  const run = async () => {
    timer = 0;
    if (document.hidden) return;
    wanted = false;
    running = true;
    try {
      await work();
    } finally {
      running = false;
      last = performance.now();
    }
    if (wanted) plan();
  };
  const plan = () => {
    wanted = true;
    if (!timer && !running) timer = setTimeout(run, Math.max(0, last + pause - performance.now()));
  };
  document.addEventListener("visibilitychange", () => wanted && !document.hidden && plan());
  return plan;
}

/** Say something to those who do not see the page. */
export const announce = (text) => say(document.getElementById("said"), text);

/** A moment as "3 min ago", with the full time on hover; `freshen` keeps all of them true. */
export function ago(moment) {
  const node = h("time", { class: "ago" });
  setAgo(node, moment);
  return node;
}

export function setAgo(node, moment) {
  if (node.getAttribute("datetime") !== moment) {
    node.setAttribute("datetime", moment ?? "");
    node.title = moment ? new Date(moment).toLocaleString() : "";
  }
  say(node, moment ? since(moment) : "");
}

export function freshen() {
  for (const node of document.querySelectorAll("time.ago")) {
    const moment = node.getAttribute("datetime");
    if (moment) say(node, since(moment));
  }
}

export function since(moment) {
  const text = span((Date.now() - Date.parse(moment)) / 1000);
  return text === "now" ? "just now" : `${text} ago`;
}

/** Seconds as people say them. */
export function span(seconds) {
  if (seconds < 3) return "now";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export const count = (number) => Number(number).toLocaleString("en").replaceAll(",", "\u202f");
export const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;
