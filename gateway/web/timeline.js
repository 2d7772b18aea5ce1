// One line of a history: a sentence, when, who, and because of what.

import { h } from "./dom.js";

export function line(fact) {
  const because = fact.because === "a request" ? "" : fact.because;
  const cause = because.startsWith(fact.actor) ? because : [fact.actor, because].filter(Boolean).join(" · ");
  return h("li", { data: { topic: fact.topic } }, h("p", {}, sentence(fact)),
    h("p", { class: "cause" }, h("time", { datetime: fact.at, title: new Date(fact.at).toLocaleString() }, clock(fact.at)),
      h("span", {}, cause)));
}

/** Begins with a capital, unless it begins with somebody's name: names are nobody's to change. */
const sentence = ({ what, actor }) => (what.startsWith(actor) && !actor.startsWith("pilot ") ? what : what.charAt(0).toUpperCase() + what.slice(1));

/** The time of day, with the day when it is not today. */
export function clock(at) {
  const date = new Date(at);
  const time = date.toLocaleTimeString("en-GB");
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString("en-GB")} ${time}`;
}
