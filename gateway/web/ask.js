// Asking before something is done, and saying what went wrong: what happened, who must act, what to do next.

import { h } from "./dom.js";

const PEOPLE = { user: "You can mend this.", site: "The site must act.", operator: "The operator of this installation must act.", nobody: "Nobody needs to act, it will pass." };

/** A refusal as text. */
export function problem(refused) {
  const text = refused.message.charAt(0).toUpperCase() + refused.message.slice(1);
  return h("div", { class: "problem" }, h("p", {}, h("strong", {}, `${text}.`)),
    PEOPLE[refused.who] ? h("p", {}, PEOPLE[refused.who]) : null,
    refused.next ? h("p", {}, "Next: ", h("code", {}, refused.next)) : null);
}

/** Ask in a dialogue; gives the reason that was typed (may be empty), or null when it is called off. */
export function confirmed(question, about, yes, kind) {
  const reason = h("input", { id: "reason", maxlength: 255, autocomplete: "off" });
  const go = h("button", { class: kind, value: "yes" }, yes);
  const form = h("form", { method: "dialog" }, h("h1", { id: "question" }, question), h("p", {}, about),
    h("label", { for: "reason" }, "Reason, kept in the history (optional)"), reason,
    h("div", { class: "actions" }, go, h("button", { value: "no", formnovalidate: true }, "Leave it as it is")));
  const dialogue = h("dialog", { "aria-labelledby": "question" }, form);
  document.body.append(dialogue);
  // Forms are never sent (the content policy forbids it, too): the answer is taken here.
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    dialogue.close(event.submitter?.value ?? "yes");
  });
  dialogue.showModal();
  go.focus();
  return new Promise((resolve) =>
    dialogue.addEventListener("close", () => {
      dialogue.remove();
      resolve(dialogue.returnValue === "yes" ? reason.value.trim() : null);
    }));
}
