// Traffic over a window: charts, sums by group, and the figures behind the charts.

import { get } from "./api.js";
import { Chart } from "./charts.js";
import { KeyedRows, byId, el, setAttr, setText } from "./dom.js";
import { NONE, clock, count, dollars, pace, share, span, tokens } from "./format.js";
import { every } from "./shell.js";

const REFRESH_MS = 5_000;
const FIELDS = { model: "model", provider: "provider", route: "route", client: "client", key: "key", session: "session" };

const per = (figure) => (point, step) => point[figure] / step;
const charts = [
  [new Chart("Requests/s", ["rate"], (v) => pace(v)), [per("requests")]],
  [new Chart("Latency", ["p50", "p95", "p99"], span), [at("p50_ms"), at("p95_ms"), at("p99_ms")]],
  [new Chart("Time to first token", ["p50", "p95", "p99"], span), [at("ttft_p50_ms"), at("ttft_p95_ms"), at("ttft_p99_ms")]],
  [new Chart("Errors", ["share"], share), [(point) => (point.requests ? point.errors / point.requests : null)]],
  [new Chart("Tokens/s", ["in", "out"], (v) => tokens(Math.round(v))), [per("prompt_tokens"), per("output_tokens")]],
  [new Chart("Cost per hour", ["cost"], dollars), [(point, step) => (point.cost_nusd * 3600) / step]],
  [new Chart("Prompt tokens from cache", ["share"], share), [(point) => (point.prompt_tokens ? point.cache_read_tokens / point.prompt_tokens : null)]],
];

function at(figure) {
  return (point) => point[figure];
}

const GROUP_COLUMNS = 12;
const groups = new KeyedRows(byId("groups"), {
  make: () => {
    const link = el("a", { class: "served" });
    const meter = el("meter", { min: 0, max: 1 });
    const percent = el("span", {});
    const figures = Array.from({ length: GROUP_COLUMNS }, (_, place) => el("td", { class: place === 1 ? null : "num" }));
    figures[1].append(meter, " ", percent);
    return Object.assign(el("tr", {}, el("th", { scope: "row" }, link), ...figures), { link, meter, percent, figures });
  },
  update: (row, { group, total, kind }) => {
    const portion = total ? group.requests / total : 0;
    setText(row.link, group.name || NONE);
    const name = group.name.replaceAll('"', "");
    setAttr(row.link, "href", group.name ? `/ui/?${new URLSearchParams({ q: `${FIELDS[kind]}:"${name}"` })}` : null);
    row.meter.value = portion;
    setAttr(row.meter, "aria-label", share(portion));
    setText(row.percent, share(portion));
    const paid = dollars(group.cost_nusd);
    const texts = [
      count(group.requests),
      null,
      share(group.requests ? group.errors / group.requests : null),
      span(group.p50_ms),
      span(group.p95_ms),
      span(group.p99_ms),
      span(group.ttft_p95_ms),
      pace(group.tokens_per_s),
      tokens(group.prompt_tokens),
      tokens(group.output_tokens),
      tokens(group.cache_read_tokens),
      group.unknown_cost ? `${paid} +${count(group.unknown_cost)} unknown` : paid,
    ];
    texts.forEach((text, place) => text === null || setText(row.figures[place], text));
  },
});

function showPoints(view) {
  const step = view.step_s;
  const rows = view.points.map((point, place) => [
    clock(view.start_at + place * step),
    count(point.requests),
    point.errors ? `${count(point.errors)} (${Object.entries(point.errors_by_code).map(([code, n]) => `${code} ${n}`).join(", ")})` : "0",
    span(point.p50_ms),
    span(point.p95_ms),
    span(point.p99_ms),
    span(point.ttft_p50_ms),
    span(point.ttft_p95_ms),
    count(point.prompt_tokens),
    count(point.output_tokens),
    dollars(point.cost_nusd),
  ]);
  const cells = ([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), ...rest.map((text) => el("td", { class: "num" }, text)));
  byId("points").replaceChildren(...rows.reverse().map(cells));
}

function show(view) {
  for (const [chart, figures] of charts) {
    const series = figures.map((figure) => view.points.map((point) => figure(point, view.step_s) ?? null));
    chart.draw(series, view.start_at);
  }
  const total = view.groups.reduce((sum, group) => sum + group.requests, 0);
  groups.show(
    view.groups.map((group) => ({ group, total, kind: view.group })),
    ({ group }) => group.name,
  );
  byId("groups-none").hidden = view.groups.length > 0;
  setText(byId("group-head"), view.group[0].toUpperCase() + view.group.slice(1));
  if (document.querySelector(".figures").open) showPoints(view);
}

let isSaid = false;
async function read() {
  const wanted = { window: byId("window").value, group: byId("group").value };
  const view = await get(`/admin/metrics?${new URLSearchParams(wanted)}`);
  latest = view;
  show(view);
  if (view.is_partial !== isSaid) setText(byId("note"), view.is_partial ? "▲ More requests than can be looked at: the oldest are left out." : "");
  isSaid = view.is_partial;
}

let latest = null;
byId("charts").append(...charts.map(([chart]) => chart.node));
const asked = new URLSearchParams(location.search);
for (const name of ["window", "group"]) {
  const options = [...byId(name).options].map((option) => option.value);
  if (options.includes(asked.get(name))) byId(name).value = asked.get(name);
  byId(name).addEventListener("change", () => {
    history.replaceState(null, "", `?${new URLSearchParams({ window: byId("window").value, group: byId("group").value })}`);
    refresh();
  });
}
document.querySelector(".figures").addEventListener("toggle", () => latest && show(latest));
const refresh = every(REFRESH_MS, read);
