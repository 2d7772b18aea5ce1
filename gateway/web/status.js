// The states of a job: their order, tones and marks. A mark's shape tells it even where its colour does not.

import { h, s } from "./dom.js";

export const ORDER = [
  "Submitting", "Received", "Checking", "Staging", "Waiting", "Matched", "Running", "Stalled", "Completing",
  "Completed", "Done", "Failed", "Killed", "Deleted",
];
export const FINAL = new Set(["Done", "Failed", "Killed", "Deleted"]);
const TONES = {
  Waiting: "waiting", Matched: "matched", Running: "running", Stalled: "stalled", Completing: "completing",
  Completed: "completing", Done: "done", Failed: "failed", Killed: "killed",
};

// What a fact of the log means for the state of its job, for rows that are on the screen when it arrives.
export const AFTER = {
  "job.submitted": "Received",
  "job.checked": "Checking",
  "job.queued": "Waiting",
  "job.matched": "Matched",
  "job.released": "Waiting",
  "job.started": "Running",
  "job.payload-ended": "Completing",
  "job.completed": "Completed",
  "job.done": "Done",
  "job.failed": "Failed",
  "job.killed": "Killed",
  "job.stalled": "Stalled",
  "job.resumed": "Running",
  "job.rescheduled": "Received",
  "job.deleted": "Deleted",
};

export const tone = (status) => TONES[status] ?? "early";
export const rank = (status) => (ORDER.indexOf(status) + 1 || ORDER.length + 1);

const line = { fill: "none", stroke: "currentColor", "stroke-width": 1.8, "stroke-linecap": "round", "stroke-linejoin": "round" };
const ring = () => s("circle", { cx: 7, cy: 7, r: 5.6, ...line });
const path = (d) => s("path", { d, ...line });
const solid = (d) => s("path", { d, fill: "currentColor" });
const SHAPES = {
  early: () => [s("circle", { cx: 7, cy: 7, r: 5.6, ...line, "stroke-dasharray": "2.4 2.4" })],
  waiting: () => [ring(), path("M7 4v3.2l2 1.4")],
  matched: () => [ring(), solid("M7 1.4a5.6 5.6 0 0 1 0 11.2z")],
  running: () => [solid("M3 1.6v10.8a.6.6 0 0 0 .9.5l9-5.4a.6.6 0 0 0 0-1l-9-5.4a.6.6 0 0 0-.9.5z")],
  stalled: () => [solid("M2.8 1.5h3v11h-3zM8.2 1.5h3v11h-3z")],
  completing: () => [ring(), path("M7 4v5M4.8 6.9 7 9.2l2.2-2.3")],
  done: () => [path("M1.8 7.6 5.4 11 12.4 3")],
  failed: () => [path("M2.6 2.6l8.8 8.8M11.4 2.6l-8.8 8.8")],
  killed: () => [solid("M2 2h10v10H2z")],
};

function draw(svg, name) {
  if (svg.dataset.shape === name) return;
  svg.dataset.shape = name;
  svg.replaceChildren(...SHAPES[name]());
}

/** The mark and the word of a status; `setStatus` changes both in place. */
export function badge(status) {
  const node = h("span", { class: "status" }, s("svg", { class: "mark", viewBox: "0 0 14 14", "aria-hidden": "true" }), h("span"));
  setStatus(node, status);
  return node;
}

export function setStatus(node, status) {
  const wanted = tone(status);
  node.dataset.tone = wanted;
  draw(node.firstElementChild, wanted);
  if (node.lastElementChild.textContent !== status) node.lastElementChild.textContent = status;
}
