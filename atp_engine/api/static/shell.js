// What the pages beside Live share: who looks and what they may do, and telling what came of an act.

import { ApiError, get, post } from "./api.js";
import { byId, setText } from "./dom.js";

const ROLES = ["viewer", "operator", "admin"];
const RETRY_MS = 1500;

/** Who looks. While the engine is away it says so and waits for it: a page without it has nothing to show. */
async function visitor() {
  for (;;) {
    try {
      return await get("/ui/session");
    } catch {
      tell("✗ The engine does not answer. Trying again…");
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** The page's line of news; says only what is new. */
export function tell(text) {
  const note = byId("note");
  if (note) setText(note, text);
}

export const { role } = await visitor();
tell("");
export const may = (wanted) => ROLES.indexOf(role) >= ROLES.indexOf(wanted);

setText(byId("role"), may("admin") ? "" : `${role}: ${may("operator") ? "may act" : "read-only"}`);
byId("role").hidden = may("admin");
byId("logout").addEventListener("click", async () => {
  await post("/ui/logout");
  location.replace("/ui/login");
});

/** Does `work` once for a press of `button`; what it returns, or why it failed, is told. */
export async function act(button, work) {
  button.disabled = true;
  try {
    tell((await work()) ?? "");
  } catch (error) {
    tell(`✗ ${error.message}`);
  }
  button.disabled = false;
}

/** Calls `read` now and every `ms` while the page is seen; a failure is told and tried again. */
export function every(ms, read) {
  let isReading = false;
  let hasFailed = false;
  const turn = async () => {
    if (isReading || document.hidden) return;
    isReading = true;
    try {
      await read();
      if (hasFailed) tell("");
      hasFailed = false;
      document.body.dataset.ready = "yes";
    } catch (error) {
      hasFailed = true;
      tell(`✗ ${error.message.replace(/\.?$/, ".")} Trying again…`);
      if (!(error instanceof ApiError)) console.error(error); // A bug of the page is not the engine's silence.
    }
    isReading = false;
  };
  document.addEventListener("visibilitychange", turn);
  setInterval(turn, ms);
  turn();
  return turn;
}
