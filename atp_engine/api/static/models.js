// Deployments, live: health, load, speed, price, and the switches an operator has.

import { Feed, get, post } from "./api.js";
import { KeyedRows, byId, confirmed, el, setAttr, setText } from "./dom.js";
import { NONE, count, healthOf, pace, share, span } from "./format.js";
import { act, may, tell } from "./shell.js";

const RETRY_MS = 1500;
const deployments = new Map();

const COLUMNS = 12;
const TEXTS = new Set([0, 11]);

/** What may be done now: the act, its label, and what to ask before it. */
function actsOf(view) {
  const isAway = view.is_draining || view.is_held_open || view.circuit !== "closed";
  return [
    ["probe", "Probe", null],
    isAway ? ["close", "Close", null] : ["open", "Open…", "No request is sent to it until somebody closes it."],
    view.is_draining ? null : ["drain", "Drain…", "It gets no new request; those in flight go on. Close ends it."],
    view.is_enabled ? ["disable", "Disable…", "Routes leave it out until somebody enables it."] : ["enable", "Enable", null],
  ].filter(Boolean);
}

function stateOf(view) {
  if (!view.is_enabled) return { glyph: "○", word: "disabled", tone: "off" };
  if (view.is_held_open) return { glyph: "✗", word: "held open", tone: "bad" };
  if (view.is_draining) return { glyph: "◌", word: "draining", tone: "warn" };
  return healthOf(view);
}

const rows = new KeyedRows(byId("models"), {
  make: () => {
    const main = el("a", { class: "served" });
    const sub = el("span", { class: "sub" });
    const figures = Array.from({ length: COLUMNS }, (_, at) => el("td", { class: TEXTS.has(at) ? null : "num" }));
    const acts = el("td", { class: "acts" });
    return Object.assign(el("tr", {}, el("th", { scope: "row" }, main, sub), ...figures, acts), { main, sub, figures, acts, shown: "" });
  },
  update: (row, view) => {
    const { glyph, word, tone } = stateOf(view);
    setText(row.main, view.key);
    setAttr(row.main, "href", `/ui/?${new URLSearchParams({ q: `model:"${view.key}"` })}`);
    setText(row.sub, `${view.provider} · ${view.model}`);
    const price = (usd) => (usd === null ? "unknown" : usd.toFixed(2));
    const texts = [
      `${glyph} ${word}`,
      view.limit ? `${view.in_flight} of ${view.limit}` : String(view.in_flight),
      String(view.queued),
      span(view.p50_ms),
      span(view.p95_ms),
      span(view.ttft_p95_ms),
      pace(view.tokens_per_s),
      share(view.error_rate),
      price(view.input_usd),
      price(view.output_usd),
      view.estimate_error === null ? NONE : `±${Math.round(view.estimate_error * 100)}%`,
      view.routes.join(", ") || NONE,
    ];
    texts.forEach((text, at) => setText(row.figures[at], text));
    setAttr(row.figures[0], "class", `tone-${tone}`);
    setAttr(row.figures[0], "title", view.block || view.last_error || null);
    for (const at of [8, 9]) setAttr(row.figures[at], "title", view.price_source || "no price is known");
    showActs(row, view);
  },
});

function showActs(row, view) {
  if (!may("operator")) return;
  const acts = actsOf(view);
  const shown = acts.map(([name]) => name).join();
  if (row.shown === shown) return;
  row.shown = shown;
  row.acts.replaceChildren(
    ...acts.map(([name, label, warning]) => {
      const button = el("button", { type: "button", class: "small" }, label);
      button.addEventListener("click", () => act(button, () => doAct(view.key, name, label, warning)));
      return button;
    }),
  );
}

async function doAct(key, name, label, warning) {
  const word = label.replace("…", "");
  if (warning && !(await confirmed(`${word} ${key}?`, warning, `${word} it`))) return "";
  const answer = await post(`/admin/deployments/${encodeURIComponent(key)}/${name}`);
  const view = answer.deployment ?? answer;
  deployments.set(view.key, view);
  draw();
  return answer.message ? `${answer.is_ok ? "✓" : "✗"} ${answer.message}` : `✓ ${key}: ${stateOf(view).word}.`;
}

function draw() {
  rows.show([...deployments.values()], (view) => view.key);
  setText(byId("models-count"), count(deployments.size));
  byId("models-none").hidden = deployments.size > 0;
}

async function load() {
  try {
    const found = await get("/admin/deployments");
    deployments.clear();
    for (const view of found) deployments.set(view.key, view);
    draw();
    document.body.dataset.ready = "yes";
  } catch (error) {
    tell(`✗ ${error.message.replace(/\.?$/, ".")} Trying again…`);
    setTimeout(load, RETRY_MS);
  }
}

const feed = new Feed({
  onopen: load,
  onhide: () => {},
  onstate(state) {
    setText(byId("connection"), { live: "● live", connecting: "◌ connecting", offline: "✗ offline, retrying" }[state]);
    setAttr(byId("connection"), "data-state", state);
  },
  onevents(events) {
    for (const event of events) {
      if (event.type === "deployment") deployments.set(event.deployment.key, event.deployment);
      if (event.type === "deployment_removed") deployments.delete(event.key);
      if (event.type === "gap") load();
    }
    draw();
  },
});
feed.open("id:none");
