// Small line charts as SVG. Their figures stand in the table below them, so a chart is one picture to a reader.

import { el, setAttr, setText } from "./dom.js";
import { clock } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 84;

/** One chart: lines over the same time axis from zero to the highest point of all. */
export class Chart {
  /** `lines` names them in order; `shown` writes a figure. */
  constructor(title, lines, shown) {
    this.lines = lines;
    this.shown = shown;
    this.now = lines.map(() => el("b", { class: "now" }));
    this.svg = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.paths = lines.map((_, at) => svg("path", { class: `line-${at}` }));
    this.dots = lines.map((_, at) => svg("path", { class: `dot line-${at}` }));
    this.svg.append(svg("path", { class: "grid", d: `M0 ${HEIGHT - 0.5}H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}` }), ...this.paths, ...this.dots);
    this.top = el("span", {});
    this.from = el("span", {});
    const legend = el("span", { class: "legend" }, ...lines.map((name, at) => el("span", { class: `key-${at}` }, `${name} `, this.now[at])));
    this.title = title;
    this.node = el(
      "figure",
      { class: "panel chart" },
      el("figcaption", {}, el("b", {}, title), lines.length > 1 ? legend : this.now[0]),
      this.svg,
      el("div", { class: "axis muted" }, this.from, this.top, el("span", {}, "now")),
    );
  }

  /** Draws `series`, one list of numbers or nulls per line; a null is a gap. `startAt` is seconds. */
  draw(series, startAt) {
    const known = series.flat().filter((value) => value !== null);
    const top = Math.max(...known, 0);
    series.forEach((values, at) => {
      const { line, dots } = shape(values, top);
      setAttr(this.paths[at], "d", line);
      setAttr(this.dots[at], "d", dots);
    });
    const latest = series.map((values) => values.findLast((value) => value !== null) ?? null);
    const words = latest.map((value) => (value === null ? "–" : this.shown(value)));
    words.forEach((word, at) => setText(this.now[at], word));
    setText(this.top, known.length ? `highest ${this.shown(top)}` : "no data");
    setText(this.from, clock(startAt));
    const told = this.lines.map((name, at) => `${name} ${words[at]}`).join(", ");
    setAttr(this.svg, "aria-label", `${this.title}: latest ${told}; highest ${this.shown(top)}. The table of figures has every point.`);
  }
}

/** The line through the known points, broken where there is none; a point with no neighbour becomes a dot. */
function shape(values, top) {
  const step = WIDTH / Math.max(values.length - 1, 1);
  const y = (value) => (HEIGHT - 2 - (top ? value / top : 0) * (HEIGHT - 8)).toFixed(1);
  let line = "";
  let dots = "";
  values.forEach((value, at) => {
    if (value === null) return;
    const isStart = at === 0 || values[at - 1] === null;
    const isEnd = at === values.length - 1 || values[at + 1] === null;
    const place = `${(at * step).toFixed(1)} ${y(value)}`;
    if (isStart && isEnd) dots += `M${place}h0`;
    else line += `${isStart ? "M" : "L"}${place}`;
  });
  return { line, dots };
}

function svg(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
