// Events per minute of the last hour, as a small picture that is also a sentence.

import { calmly, count, h, many, s, say } from "./dom.js";
import { get } from "./api.js";

const MINUTES = 60;
const [WIDTH, HEIGHT] = [600, 68];
const minuteOf = (at) => Math.floor(Date.parse(at) / 60_000);

export class Activity {
  constructor() {
    this.counts = new Map();
    this.svg = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.rate = h("b");
    this.peak = h("span");
    this.element = h("div", { class: "activity" }, h("h2", {}, "Events per minute", this.rate), this.svg,
      h("p", { class: "scale", "aria-hidden": "true" }, h("span", {}, "1 h ago"), this.peak, h("span", {}, "now")));
    this.bars = Array.from({ length: MINUTES }, (_, place) =>
      s("rect", { x: place * 10 + 1, width: 8, rx: 1.5, class: place === MINUTES - 1 ? "now" : "" }));
    this.svg.append(s("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }), ...this.bars);
    this.dirty = true;
    this.renew = calmly(() => this.load(), 3000);
    setInterval(() => this.draw(), 1000);
  }

  /** The last hour as the gateway counted it. */
  async load() {
    const found = await get("/api/v1/activity", { minutes: MINUTES }).catch(() => null);
    if (!found) return;
    this.counts.clear();
    for (const { minute, events } of found.activity) {
      const place = minuteOf(minute);
      this.counts.set(place, (this.counts.get(place) ?? 0) + events);
    }
    this.dirty = true;
    this.draw();
  }

  draw() {
    const now = Math.floor(Date.now() / 60_000);
    if ((!this.dirty && now === this.drawn) || document.hidden) return;
    this.dirty = false;
    this.drawn = now;
    for (const minute of this.counts.keys()) if (minute <= now - MINUTES) this.counts.delete(minute);
    const values = this.bars.map((_, place) => this.counts.get(now - MINUTES + 1 + place) ?? 0);
    const most = Math.max(1, ...values);
    this.bars.forEach((bar, place) => {
      const height = values[place] ? Math.max(2, (values[place] / most) * (HEIGHT - 4)) : 0;
      bar.setAttribute("height", height.toFixed(1));
      bar.setAttribute("y", (HEIGHT - 1 - height).toFixed(1));
    });
    const total = values.reduce((sum, value) => sum + value, 0);
    say(this.rate, many(total, "event"));
    say(this.peak, total ? `peak ${count(most)} a minute` : "quiet");
    this.svg.setAttribute("aria-label", `${many(total, "event")} in the last hour, at most ${most} in a minute`);
  }
}
