// How figures read. Unknown is told as unknown: money without a price is never a zero.

export const NONE = "–";
const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const momentFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
const whole = new Intl.NumberFormat("en");

export const clock = (seconds) => clockFormat.format(seconds * 1000);
export const moment = (seconds) => momentFormat.format(seconds * 1000);
export const count = (n) => whole.format(n);

/** 940 · 1.1k · 41.2k · 1.2M */
export function tokens(n) {
  if (n < 1000) return String(n);
  if (n < 999_950) return `${(n / 1000).toFixed(1)}k`;
  return `${(n / 1_000_000).toFixed(1)}M`;
}

/** 3 ms · 412 ms · 2.31 s · 1m 04s */
export function span(ms) {
  if (ms === null || ms === undefined) return NONE;
  if (ms < 1) return "<1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}m ${String(seconds % 60).padStart(2, "0")}s`;
}

/** 4s · 12m · 3h 12m · 2d 4h */
export function age(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m`;
  if (s < 86_400) return `${Math.floor(s / 3600)}h ${Math.floor((s % 3600) / 60)}m`;
  return `${Math.floor(s / 86_400)}d ${Math.floor((s % 86_400) / 3600)}h`;
}

export const pace = (perSecond) => (perSecond === null ? NONE : perSecond.toFixed(perSecond < 100 ? 1 : 0));
export const share = (part) => (part === null ? NONE : `${(part * 100).toFixed(part < 0.1 ? 1 : 0)}%`);

/** Dollars from nano-dollars, with the digits that matter. */
export function dollars(nusd) {
  const usd = nusd / 1e9;
  if (usd === 0) return "$0";
  if (usd < 0.0001) return "<$0.0001";
  if (usd < 0.01) return `$${usd.toFixed(4)}`;
  if (usd < 1) return `$${usd.toFixed(3)}`;
  return `$${usd.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}

/** A cost with how sure it is: `unknown`, `~$0.012` on estimated tokens, or the plain figure. */
export function money(nusd, state) {
  if (state === "unknown") return "unknown";
  return state === "assumed" ? `~${dollars(nusd)}` : dollars(nusd);
}

export const isOpen = (view) => view.state === "queued" || view.state === "connecting" || view.state === "streaming";

/** The cost of a request row: nothing to tell while nothing was used. */
export function cost(view) {
  const isUnused = view.cost_nusd === 0 && (isOpen(view) || !view.served) && view.state !== "hit";
  return isUnused ? NONE : money(view.cost_nusd, view.price_state);
}

/** Glyph, word and tone of a request's state; never colour alone. */
export function stateOf(view) {
  switch (view.state) {
    case "queued":
      return { glyph: "◐", word: "queued", tone: "wait" };
    case "connecting":
      return { glyph: "◌", word: "connect", tone: "wait" };
    case "streaming":
      return { glyph: "▶", word: view.is_stream ? "stream" : "answer", tone: "live" };
    case "ok":
      return { glyph: "✓", word: "ok", tone: "ok" };
    case "hit":
      return { glyph: "≡", word: "hit", tone: "ok" };
    case "truncated":
      return { glyph: "✗", word: "cut off", tone: "bad" };
    case "cancelled":
      return { glyph: "⊘", word: "cancel", tone: "off" };
    default:
      return { glyph: "✗", word: view.http_status ? String(view.http_status) : "failed", tone: "bad" };
  }
}

/** Glyph, word and tone of a deployment: its circuit when that is not closed, else its health. */
export function healthOf(view) {
  if (view.circuit === "open") {
    return { glyph: "✗", word: view.retry_in_s > 0 ? `open ${age(view.retry_in_s)}` : "open", tone: "bad" };
  }
  if (view.circuit === "half_open") return { glyph: "▲", word: "half", tone: "warn" };
  if (view.health === "healthy") return { glyph: "●", word: "healthy", tone: "ok" };
  if (view.health === "degraded") return { glyph: "▲", word: "degraded", tone: "warn" };
  if (view.health === "failing") return { glyph: "✗", word: "failing", tone: "bad" };
  return { glyph: "○", word: "no traffic", tone: "off" };
}
