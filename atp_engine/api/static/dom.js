// Building and updating the page. Text from outside only ever becomes a text node or a property.

// Control, escape and direction characters could make text look like something else.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

export const clean = (text) => text.replace(UNSEEN, "");

export const byId = (id) => document.getElementById(id);

/** An element with properties (`class`, `data-*`, `aria-*` become attributes) and children. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  const present = children.filter((child) => child !== null && child !== undefined);
  node.append(...present.map((child) => (typeof child === "string" ? clean(child) : child)));
  return node;
}

/** Writes text only when it differs, so that nothing repaints for nothing. */
export function setText(node, text) {
  const shown = clean(text);
  if (node.textContent !== shown) node.textContent = shown;
}

export function setAttr(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, clean(value));
}

/** Rows of a table body kept by key: existing elements stay in place, so focus and selection do too. */
export class KeyedRows {
  constructor(body, { make, update }) {
    this.body = body;
    this.make = make;
    this.update = update;
    this.rows = new Map();
  }

  /** Shows exactly these items in this order; `key` names each. */
  show(items, key) {
    const wanted = new Set(items.map(key));
    for (const [id, row] of this.rows) {
      if (!wanted.has(id)) {
        row.remove();
        this.rows.delete(id);
      }
    }
    let place = this.body.firstElementChild;
    for (const item of items) {
      const id = key(item);
      let row = this.rows.get(id);
      if (!row) {
        row = this.make(item);
        this.rows.set(id, row);
      }
      this.update(row, item);
      if (row === place) place = place.nextElementSibling;
      else this.body.insertBefore(row, place);
    }
  }
}

/** Asks before something that cannot simply be taken back; the default is no. */
export function confirmed(title, text, yes) {
  const dialog = byId("confirm");
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  setText(byId("confirm-yes"), yes);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** A button that copies the text that `read` gives, and says so for a moment. */
export function copyButton(label, read) {
  const button = el("button", { type: "button", class: "quiet small" }, label);
  button.addEventListener("click", async () => {
    const done = await copy(read());
    button.textContent = done ? "✓ copied" : "select and copy";
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}

async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not allowed here: the old way below still may be.
    }
  }
  const area = el("textarea", { class: "sr", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
