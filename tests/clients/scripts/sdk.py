"""One case of one Python library against the address in the environment: `sdk.py LIBRARY CASE`.

Prints what the model said, or `ERROR <class>` for what the library raised. Runs in the clients' own
environment, so it imports nothing of ours.
"""

import os
import sys

BASE, KEY, MODEL = os.environ["ATP_URL"], os.environ["ATP_KEY"], os.environ.get("ATP_MODEL", "auto")
PROMPTS = {"tools": "TOOLPLEASE: what is the weather in Paris?"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SAID = "atp-42 degrees"


def prompt(case):
    return PROMPTS.get(case, f"Say hello, {case}.")


def openai_sdk(case):
    import openai

    client = openai.OpenAI(base_url=BASE + "/v1", api_key=KEY, max_retries=0)
    messages = [{"role": "user", "content": prompt(case)}]
    if case == "stream":
        stream = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    if case == "tools":
        tools = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
        first = client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
        call = first.choices[0].message.tool_calls[0]
        messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": SAID}]
        return client.chat.completions.create(model=MODEL, messages=messages, tools=tools).choices[0].message.content
    if case == "models":
        return ",".join(model.id for model in client.models.list())
    return client.chat.completions.create(model=MODEL, messages=messages).choices[0].message.content


def openai_responses(case):
    import openai

    client = openai.OpenAI(base_url=BASE + "/v1", api_key=KEY, max_retries=0)
    if case == "stream":
        stream = client.responses.create(model=MODEL, input=prompt(case), stream=True)
        return "".join(event.delta for event in stream if event.type == "response.output_text.delta")
    if case == "tools":
        tools = [{"type": "function", "name": "get_weather", "parameters": SCHEMA}]
        first = client.responses.create(model=MODEL, input=prompt(case), tools=tools)
        call = next(item for item in first.output if item.type == "function_call")
        back = [{"type": "function_call_output", "call_id": call.call_id, "output": SAID}]
        again = client.responses.create(model=MODEL, input=back, previous_response_id=first.id, tools=tools)
        return again.output_text
    return client.responses.create(model=MODEL, input=prompt(case)).output_text


def anthropic_sdk(case):
    import anthropic

    client = anthropic.Anthropic(base_url=BASE, api_key=KEY, max_retries=0)
    messages = [{"role": "user", "content": prompt(case)}]
    shared = {"model": MODEL, "max_tokens": 200}
    if case == "stream":
        with client.messages.stream(messages=messages, **shared) as stream:
            return "".join(stream.text_stream)
    if case == "tools":
        tools = [{"name": "get_weather", "description": "Weather.", "input_schema": SCHEMA}]
        first = client.messages.create(messages=messages, tools=tools, **shared)
        call = next(block for block in first.content if block.type == "tool_use")
        messages += [
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": SAID}]},
        ]
        return client.messages.create(messages=messages, tools=tools, **shared).content[0].text
    if case == "models":
        return ",".join(model.id for model in client.models.list())
    if case == "count":
        return str(client.messages.count_tokens(model=MODEL, messages=messages).input_tokens > 0)
    return client.messages.create(messages=messages, **shared).content[0].text


def _langchain(model, case):
    if case == "stream":
        return "".join(
            chunk.text if isinstance(chunk.text, str) else chunk.text() for chunk in model.stream(prompt(case))
        )
    if case == "tools":
        from langchain_core.messages import HumanMessage, ToolMessage
        from langchain_core.tools import tool

        @tool
        def get_weather(city: str) -> str:
            """Weather."""
            return SAID

        bound = model.bind_tools([get_weather])
        messages = [HumanMessage(prompt(case))]
        first = bound.invoke(messages)
        call = first.tool_calls[0]
        messages += [first, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
        return str(bound.invoke(messages).content)
    return str(model.invoke(prompt(case)).content)


def langchain_openai(case):
    from langchain_openai import ChatOpenAI

    return _langchain(ChatOpenAI(base_url=BASE + "/v1", api_key=KEY, model=MODEL, max_retries=0), case)


def langchain_anthropic(case):
    from langchain_anthropic import ChatAnthropic

    return _langchain(ChatAnthropic(base_url=BASE, api_key=KEY, model=MODEL, max_retries=0, max_tokens=200), case)


def litellm(case):
    import litellm as library

    shared = {"model": "openai/" + MODEL, "api_base": BASE + "/v1", "api_key": KEY, "num_retries": 0}
    messages = [{"role": "user", "content": prompt(case)}]
    if case == "stream":
        stream = library.completion(messages=messages, stream=True, **shared)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    if case == "tools":
        tools = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
        first = library.completion(messages=messages, tools=tools, **shared).choices[0].message
        messages += [first, {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": SAID}]
        return library.completion(messages=messages, tools=tools, **shared).choices[0].message.content
    return library.completion(messages=messages, **shared).choices[0].message.content


def instructor(case):
    import instructor as library
    import openai
    from pydantic import BaseModel

    class Greeting(BaseModel):
        city: str

    client = library.from_openai(openai.OpenAI(base_url=BASE + "/v1", api_key=KEY, max_retries=0))
    messages = [{"role": "user", "content": "TOOLPLEASE: greet a city."}]
    found = client.chat.completions.create(model=MODEL, messages=messages, response_model=Greeting, max_retries=1)
    return found.city


def llama_index(case):
    from llama_index.llms.openai_like import OpenAILike

    model = OpenAILike(model=MODEL, api_base=BASE + "/v1", api_key=KEY, is_chat_model=True, max_retries=0)
    if case == "stream":
        return "".join(piece.delta or "" for piece in model.stream_complete(prompt(case)))
    return model.complete(prompt(case)).text


def openai_agents(case):
    import asyncio

    import openai
    from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled

    set_tracing_disabled(True)

    @function_tool
    def get_weather(city: str) -> str:
        """Weather."""
        return SAID

    client = openai.AsyncOpenAI(base_url=BASE + "/v1", api_key=KEY, max_retries=0)
    tools = [get_weather] if case == "tools" else []
    model = OpenAIChatCompletionsModel(model=MODEL, openai_client=client)
    agent = Agent(name="helper", instructions="Help.", model=model, tools=tools)

    async def run():
        if case != "stream":
            return (await Runner.run(agent, prompt(case))).final_output
        result = Runner.run_streamed(agent, prompt(case))
        async for _ in result.stream_events():
            pass
        return result.final_output

    return asyncio.run(run())


def _pydantic_ai(model, case):
    from pydantic_ai import Agent

    agent = Agent(model)
    if case == "tools":

        @agent.tool_plain
        def get_weather(city: str) -> str:
            """Weather."""
            return SAID

    if case == "stream":
        return agent.run_stream_sync(prompt(case)).get_output() if hasattr(agent, "run_stream_sync") else ""
    return agent.run_sync(prompt(case)).output


def pydantic_ai_openai(case):
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return _pydantic_ai(OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=BASE + "/v1", api_key=KEY)), case)


def pydantic_ai_anthropic(case):
    import anthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    client = anthropic.AsyncAnthropic(base_url=BASE, api_key=KEY, max_retries=0)
    return _pydantic_ai(AnthropicModel(MODEL, provider=AnthropicProvider(anthropic_client=client)), case)


def google_genai(case):
    from google import genai
    from google.genai import types

    client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=BASE))
    if case == "stream":
        pieces = client.models.generate_content_stream(model=MODEL, contents=prompt(case))
        return "".join(piece.text or "" for piece in pieces)
    if case == "tools":

        def get_weather(city: str) -> str:
            """Weather."""
            return SAID

        settings = types.GenerateContentConfig(tools=[get_weather])
        return client.models.generate_content(model=MODEL, contents=prompt(case), config=settings).text
    return client.models.generate_content(model=MODEL, contents=prompt(case)).text


def ollama(case):
    import ollama as library

    client = library.Client(host=BASE, headers={"authorization": f"Bearer {KEY}"})
    messages = [{"role": "user", "content": prompt(case)}]
    if case == "stream":
        return "".join(part.message.content or "" for part in client.chat(model=MODEL, messages=messages, stream=True))
    if case == "tools":
        tools = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
        first = client.chat(model=MODEL, messages=messages, tools=tools).message
        messages += [first, {"role": "tool", "tool_name": "get_weather", "content": SAID}]
        return client.chat(model=MODEL, messages=messages, tools=tools).message.content
    return client.chat(model=MODEL, messages=messages).message.content


def main():
    library, case = sys.argv[1:3]
    try:
        print("SAID", globals()[library](case))
    except Exception as error:  # the runner wants to know what the library raised
        kinds = [kind.__name__ for kind in type(error).__mro__]
        print("ERROR", ",".join(kinds[:4]), str(error)[:300])


main()
