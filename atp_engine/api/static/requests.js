// The table of requests: newest first, keyed rows, a cap on what is kept in the page.

import { el, setAttr, setText } from "./dom.js";
import { NONE, clock, cost, isOpen, pace, span, stateOf, tokens } from "./format.js";

const MOST_ROWS = 250;
const CALM_LIMIT = 3; // More at once would only flicker.

/** Rows of requests in order of arrival; `upsert` and `remove` touch only what changed. */
export class RequestTable {
  constructor(body) {
    this.body = body;
    this.rows = new Map();
    this.order = [];
    body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (!row || event.target.closest("a") || String(getSelection())) return;
      row.querySelector("a").click();
    });
  }

  get size() {
    return this.order.length;
  }

  has(id) {
    return this.rows.has(id);
  }

  /** Shows exactly these. */
  replace(views) {
    const wanted = new Set(views.map((view) => view.id));
    this.remove([...this.rows.keys()].filter((id) => !wanted.has(id)));
    this.upsert(views, false);
  }

  upsert(views, isNews = true) {
    const fresh = [];
    for (const view of views) {
      const row = this.rows.get(view.id);
      if (!row) fresh.push(view);
      else if (isOpen(row.view) || !isOpen(view)) row.update(view);
    }
    fresh.sort((a, b) => a.started_at - b.started_at);
    for (const view of fresh) this.#insert(view, isNews && fresh.length <= CALM_LIMIT);
    while (this.order.length > MOST_ROWS) this.remove([this.order.at(-1).view.id]);
  }

  remove(ids) {
    for (const id of ids) {
      const row = this.rows.get(id);
      if (!row) continue;
      row.node.remove();
      this.rows.delete(id);
      this.order.splice(this.order.indexOf(row), 1);
    }
  }

  #insert(view, isNew) {
    const at = this.order.findIndex((row) => row.view.started_at <= view.started_at);
    const row = new Row(view, isNew);
    const place = at < 0 ? null : this.order[at].node;
    this.body.insertBefore(row.node, place);
    this.order.splice(at < 0 ? this.order.length : at, 0, row);
    this.rows.set(view.id, row);
  }
}

class Row {
  constructor(view, isNew) {
    this.link = el("a", { href: `/ui/requests/${encodeURIComponent(view.id)}` }, clock(view.started_at));
    this.session = el("td", { class: "name wide" });
    this.client = el("td", { class: "name wide" });
    this.asked = el("span", { class: "asked" });
    this.arrow = el("span", { class: "arrow" });
    this.served = el("span", { class: "served" });
    this.tries = el("span", { class: "tries" });
    this.small = el("div", { class: "under" });
    this.state = el("td", { class: "state" });
    this.ttft = el("td", { class: "num" });
    this.pace = el("td", { class: "num" });
    this.input = el("td", { class: "num" });
    this.output = el("td", { class: "num" });
    this.cost = el("td", { class: "num money" });
    this.node = el(
      "tr",
      { class: isNew ? "new" : null },
      el("td", { class: "time" }, this.link),
      this.session,
      this.client,
      el("td", { class: "route" }, el("div", { class: "line" }, this.asked, this.arrow, this.served, this.tries), this.small),
      this.state,
      this.ttft,
      this.pace,
      this.input,
      this.output,
      this.cost,
    );
    this.update(view);
  }

  update(view) {
    this.view = view;
    const { glyph, word, tone } = stateOf(view);
    const same = view.asked === view.served;
    setText(this.session, view.session_id || NONE);
    setText(this.client, view.client || NONE);
    setText(this.asked, view.asked || NONE);
    setText(this.arrow, view.tries > 1 ? " ⇢ " : " → ");
    setText(this.served, view.state === "hit" ? "cache" : view.served || NONE);
    setText(this.tries, view.tries > 1 ? ` (${view.tries})` : "");
    setText(this.state, `${glyph} ${word}`);
    setAttr(this.state, "class", `state tone-${tone}`);
    setText(this.ttft, span(view.ttft_ms));
    setText(this.pace, pace(view.tokens_per_s));
    setText(this.input, view.prompt_tokens ? figure(view.prompt_tokens, view) : NONE);
    setText(this.output, view.output_tokens ? figure(view.output_tokens, view) : NONE);
    setText(this.cost, cost(view));
    setAttr(this.cost, "class", view.price_state === "unknown" ? "num money unsure" : "num money");
    setText(this.small, view.ttft_ms === null ? view.client : `${view.client} · ${span(view.ttft_ms)}`);
    setAttr(this.node, "title", hint(view, same));
  }
}

const figure = (n, view) => (view.is_usage_estimated && !isOpen(view) ? `~${tokens(n)}` : tokens(n));

function hint(view, same) {
  const parts = [view.error_message, same || !view.model ? "" : `${view.provider} · ${view.model}`];
  return parts.filter(Boolean).join("\n") || null;
}
