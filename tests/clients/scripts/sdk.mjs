// One case of one Node library against the address in the environment: sdk.mjs LIBRARY CASE.
// Prints what the model said, or `ERROR <class>` for what the library threw.
const { ATP_URL: base, ATP_KEY: key, ATP_MODEL: model = "auto" } = process.env;
const [library, which] = process.argv.slice(2);
const prompt = which === "tools" ? "TOOLPLEASE: what is the weather in Paris?" : `Say hello, ${which}.`;
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const said = "atp-42 degrees";

const libraries = {
  async openai() {
    const { default: OpenAI } = await import("openai");
    const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0 });
    const messages = [{ role: "user", content: prompt }];
    if (which === "stream") {
      let text = "";
      for await (const chunk of await client.chat.completions.create({ model, messages, stream: true }))
        text += chunk.choices[0]?.delta?.content ?? "";
      return text;
    }
    if (which === "tools") {
      const tools = [{ type: "function", function: { name: "get_weather", parameters: schema } }];
      const first = (await client.chat.completions.create({ model, messages, tools })).choices[0].message;
      messages.push(first, { role: "tool", tool_call_id: first.tool_calls[0].id, content: said });
      return (await client.chat.completions.create({ model, messages, tools })).choices[0].message.content;
    }
    return (await client.chat.completions.create({ model, messages })).choices[0].message.content;
  },
  async anthropic() {
    const { default: Anthropic } = await import("@anthropic-ai/sdk");
    const client = new Anthropic({ baseURL: base, apiKey: key, maxRetries: 0 });
    const messages = [{ role: "user", content: prompt }];
    const shared = { model, max_tokens: 200 };
    if (which === "stream")
      return (await client.messages.stream({ ...shared, messages }).finalMessage()).content[0].text;
    if (which === "tools") {
      const tools = [{ name: "get_weather", description: "Weather.", input_schema: schema }];
      const first = await client.messages.create({ ...shared, messages, tools });
      const call = first.content.find((block) => block.type === "tool_use");
      messages.push(
        { role: "assistant", content: first.content },
        { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: said }] },
      );
      return (await client.messages.create({ ...shared, messages, tools })).content[0].text;
    }
    return (await client.messages.create({ ...shared, messages })).content[0].text;
  },
  async vercel_openai() {
    const { createOpenAI } = await import("@ai-sdk/openai");
    return vercel(createOpenAI({ baseURL: `${base}/v1`, apiKey: key })(model));
  },
  async vercel_chat() {
    const { createOpenAI } = await import("@ai-sdk/openai");
    return vercel(createOpenAI({ baseURL: `${base}/v1`, apiKey: key }).chat(model));
  },
  async vercel_compatible() {
    const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
    return vercel(createOpenAICompatible({ name: "atp", baseURL: `${base}/v1`, apiKey: key })(model));
  },
  async vercel_anthropic() {
    const { createAnthropic } = await import("@ai-sdk/anthropic");
    return vercel(createAnthropic({ baseURL: `${base}/v1`, apiKey: key })(model));
  },
};

async function vercel(chosen) {
  const { generateText, streamText, tool, stepCountIs } = await import("ai");
  const { z } = await import("zod");
  const shared = { model: chosen, prompt, maxRetries: 0 };
  if (which === "stream") {
    let text = "";
    const result = streamText({ ...shared, onError: ({ error }) => { throw error; } });
    for await (const part of result.textStream) text += part;
    return text;
  }
  if (which === "tools") {
    const weather = tool({
      description: "Weather.",
      inputSchema: z.object({ city: z.string() }),
      execute: async () => said,
    });
    const result = await generateText({ ...shared, tools: { get_weather: weather }, stopWhen: stepCountIs(3) });
    return result.text;
  }
  return (await generateText(shared)).text;
}

try {
  console.log("SAID", await libraries[library]());
} catch (error) {
  console.log("ERROR", error?.constructor?.name, error?.statusCode ?? error?.status, String(error?.message).slice(0, 300));
}
process.exit(0);
