// The page of task queues: what waits, whose it is, what it asks for.

import { get } from "./api.js";
import { calmly, count, h, many, say, span, sync } from "./dom.js";

const summary = h("p", { role: "status" });
const heads = ["Asks for", "Owner's group", "Waiting", "Priority"];
const body = h("tbody");
const table = h("table", { class: "grid" }, h("thead", {}, h("tr", {},
  heads.map((text, place) => h("th", { scope: "col", class: place > 1 ? "figure" : null }, text)))), body);
const nothing = h("div", { class: "empty", hidden: true }, h("h2", {}, "Nothing waits"),
  h("p", {}, "Jobs that ask for the same wait in one queue, until a pilot offers what they need. At the moment every job has one."));
export const element = h("div", { class: "view queues" },
  h("section", { class: "card", "aria-labelledby": "queues-title" },
    h("div", { class: "heading" }, h("h1", { id: "queues-title" }, "Task queues"), summary), table, nothing));

let failed = () => {};
export const onFault = (handler) => (failed = handler);
export const show = () => void load();

const later = calmly(load, 2000);
export const renew = () => element.isConnected && later();
export const happened = renew;

async function load() {
  try {
    paint((await get("/api/v1/queues")).queues);
    failed(null);
  } catch (refused) {
    failed(refused);
  }
}

function paint(queues) {
  queues.sort((one, other) => other.waiting - one.waiting || one.queue.localeCompare(other.queue));
  const sum = queues.reduce((all, queue) => all + queue.waiting, 0);
  say(summary, queues.length ? `${many(sum, "job")} in ${many(queues.length, "queue")}` : "");
  table.hidden = !queues.length;
  nothing.hidden = queues.length > 0;
  sync(body, queues, (queue) => queue.queue, made, (row, queue) => {
    say(row.children[2], count(queue.waiting));
    say(row.children[3], queue.priority);
  });
}

function made(queue) {
  return h("tr", {}, h("th", { scope: "row" }, asked(queue.requirements), h("small", {}, h("code", {}, queue.queue.slice(0, 12)))),
    h("td", { "data-head": "Group" }, queue.owner_group), h("td", { class: "figure", "data-head": "Waiting" }),
    h("td", { class: "figure", "data-head": "Priority" }));
}

function asked(wanted) {
  const list = (names, text) => (names?.length ? `${text} ${names.join(", ")}` : "");
  return [
    `${span(wanted.cpu_time)} CPU`,
    wanted.whole_node ? "a whole node" : many(wanted.min_processors, "processor"),
    wanted.min_ram_mb ? `${count(wanted.min_ram_mb)} MB memory` : "",
    wanted.gpus ? many(wanted.gpus, "GPU") : "",
    list(wanted.tags, "tags"), list(wanted.sites, "at"), list(wanted.banned_sites, "not at"), list(wanted.ces, "on"),
    list(wanted.platforms, "platform"),
  ].filter(Boolean).join(" · ");
}
