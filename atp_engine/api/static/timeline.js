// The waterfall: one table row per attempt with a bar on the request's own time axis.

import { el } from "./dom.js";
import { NONE, span } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const OUTCOMES = {
  ok: ["✓", "ok"],
  cancelled: ["⊘", "off"],
};

/** Table rows of the attempts, oldest first. */
export function timeline(request, attempts) {
  const ends = attempts.map((attempt) => attempt.started_ms + attempt.duration_ms);
  const total = Math.max(request.duration_ms ?? 0, ...ends, 1);
  return attempts.map((attempt) => row(attempt, total));
}

function row(attempt, total) {
  const [glyph, tone] = OUTCOMES[attempt.outcome] ?? ["✗", "bad"];
  const status = attempt.http_status && attempt.outcome !== "ok" ? ` ${attempt.http_status}` : "";
  return el(
    "tr",
    { role: "row" },
    cell("num", String(attempt.number)),
    el("th", { scope: "row", role: "rowheader" }, attempt.deployment, el("span", { class: "sub" }, `${attempt.provider} · ${attempt.model}`)),
    cell(`state tone-${tone}`, `${glyph} ${attempt.outcome.replaceAll("_", " ")}${status}`),
    cell("bar", bar(attempt, total, tone)),
    cell("num offset", span(attempt.started_ms)),
    cell("num ttft", span(attempt.ttft_ms), "first token"),
    cell("num took", span(attempt.duration_ms), "took"),
    cell(attempt.message ? "reason said" : "reason", attempt.message || NONE),
  );
}

/** Roles are spelled out because narrow pages lay rows out as grids. `name` is the label there. */
const cell = (kind, content, name) => el("td", { class: kind, role: "cell", "data-name": name }, content);

/** Waiting for the first token is hatched lighter, the stream solid; described in words for readers. */
function bar(attempt, total, tone) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("role", "img");
  svg.setAttribute("height", "14");
  const wait = attempt.ttft_ms ?? attempt.duration_ms;
  const words = `from ${span(attempt.started_ms)} for ${span(attempt.duration_ms)}`;
  svg.setAttribute("aria-label", words);
  svg.append(
    rect("track", 0, total, total),
    rect(`wait fill-${tone}`, attempt.started_ms, wait, total),
    rect(`fill-${tone}`, attempt.started_ms + wait, Math.max(attempt.duration_ms - wait, 0), total),
  );
  return svg;
}

function rect(name, from, length, total) {
  const node = document.createElementNS(SVG, "rect");
  const left = Math.min((from / total) * 100, 99.5);
  node.setAttribute("class", name);
  node.setAttribute("x", `${left.toFixed(2)}%`);
  node.setAttribute("width", `${length > 0 ? Math.max((length / total) * 100, 0.5).toFixed(2) : 0}%`);
  node.setAttribute("y", name === "track" ? "6" : "2");
  node.setAttribute("height", name === "track" ? "2" : "10");
  return node;
}
