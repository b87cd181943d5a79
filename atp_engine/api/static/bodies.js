// Stored bodies made readable: JSON indented, a stream of events as the text that it carried.

/** The readable form of a body, or null when the body is best shown as it is. */
export function readable(text) {
  if (text === null) return null;
  try {
    if (/^\s*[[{]/.test(text)) return JSON.stringify(JSON.parse(text), null, 2);
    if (/^(data|event|id|retry|):/.test(text)) return streamed(text);
  } catch {
    // Neither whole JSON nor a stream of any known shape.
  }
  return null;
}

/** Joins the pieces of an OpenAI or Anthropic stream; reasoning, tool calls and errors are labelled. */
function streamed(text) {
  const parts = [];
  let label = "";
  const add = (name, piece) => {
    if (!piece) return;
    if (name !== label) {
      if (parts.length || name) parts.push(`${parts.length ? "\n\n" : ""}${name ? `[${name}] ` : ""}`);
      label = name;
    }
    parts.push(piece);
  };
  for (const line of text.split("\n")) {
    if (!line.startsWith("data:") && !line.startsWith("{")) continue;
    let event = null;
    try {
      event = JSON.parse(line.startsWith("{") ? line : line.slice(5));
    } catch {
      continue; // `[DONE]`, or the piece at which the stored copy was cut.
    }
    if (event === null || typeof event !== "object") continue;
    if (event.error) add("error", event.error.message ?? JSON.stringify(event.error));
    addOpenAi(event, add);
    addAnthropic(event, add);
    addGemini(event, add);
    addOllama(event, add);
  }
  return parts.length ? parts.join("") : null;
}

function addGemini(event, add) {
  for (const part of event.candidates?.[0]?.content?.parts ?? []) {
    add(part.thought ? "reasoning" : "", part.text);
    if (part.functionCall) add("tool call", `${part.functionCall.name} ${JSON.stringify(part.functionCall.args ?? {})}`);
  }
}

function addOllama(event, add) {
  if (typeof event.done !== "boolean") return;
  const said = event.message ?? event;
  add("reasoning", said.thinking);
  add("", said.content ?? said.response);
  for (const { function: tool } of said.tool_calls ?? []) add("tool call", `${tool?.name} ${JSON.stringify(tool?.arguments ?? {})}`);
}

function addOpenAi(event, add) {
  for (const { delta } of Array.isArray(event.choices) ? event.choices : []) {
    add("reasoning", delta?.reasoning_content ?? delta?.reasoning);
    add("", delta?.content);
    for (const call of delta?.tool_calls ?? []) {
      add(`tool call ${call.index ?? 0}`, `${call.function?.name ? `${call.function.name} ` : ""}${call.function?.arguments ?? ""}`);
    }
  }
}

function addAnthropic(event, add) {
  const block = event.content_block;
  if (block?.type === "tool_use") add(`tool call ${event.index}`, `${block.name} `);
  const delta = event.type === "content_block_delta" ? event.delta : null;
  if (!delta) return;
  add("reasoning", delta.thinking);
  add("", delta.text);
  add(`tool call ${event.index}`, delta.partial_json);
}
