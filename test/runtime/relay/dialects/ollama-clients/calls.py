"""Each call of PyPI's `ollama`, with its outcome as a line of JSON. The addresses and the token come from the environment."""

import asyncio
import json
import os

import ollama

headers = {
    "CF-Access-Client-Id": os.environ["SLM_CLIENT_ID"],
    "CF-Access-Client-Secret": os.environ["SLM_CLIENT_SECRET"],
}
client = ollama.Client(host=os.environ["SLM_URL"], headers=headers)
MODEL = "slm-ko"
HELLO = [{"role": "user", "content": "안녕하세요"}]
PNG = b"\x89PNG\r\n\x1a\n"


def weather(city: str) -> str:
    """The weather of a city.

    Args:
      city: its name
    """
    return f"{city}: 맑음"


def told(name, call):
    try:
        print(json.dumps({"name": name, "value": call()}, ensure_ascii=False), flush=True)
    except ollama.ResponseError as error:
        print(json.dumps({"name": name, "error": error.error, "status": error.status_code}, ensure_ascii=False), flush=True)


def tools():
    messages = [{"role": "user", "content": "weather 서울"}]
    asked = client.chat(MODEL, messages, tools=[weather])
    call = asked.message.tool_calls[0].function
    result = weather(**call.arguments)
    messages += [asked.message, {"role": "tool", "content": result, "tool_name": call.name}]
    return [call.name, client.chat(MODEL, messages, tools=[weather]).message.content]


def streamed(parts, of):
    return "".join(of(part) or "" for part in parts)


def left():
    parts = client.chat(MODEL, [{"role": "user", "content": "길게 " * 2000}], stream=True)
    first = next(parts).message.content
    parts.close()
    return first


async def together():
    there = ollama.AsyncClient(host=os.environ["SLM_URL"], headers=headers)
    text = ""
    async for part in await there.chat(MODEL, HELLO, stream=True):
        text += part.message.content
    return text


schema = {"type": "object", "properties": {"요약": {"type": "string"}, "수": {"type": "integer"}}, "required": ["요약"]}

told("chat", lambda: client.chat(MODEL, HELLO).message.content)
told("chat, streamed", lambda: streamed(client.chat(MODEL, HELLO, stream=True), lambda part: part.message.content))
told("chat, async", lambda: asyncio.run(together()))
told("generate", lambda: client.generate(MODEL, "안녕").response)
told("generate, streamed", lambda: streamed(client.generate(MODEL, "안녕", stream=True), lambda part: part.response))
told("embed", lambda: [len(vector) for vector in client.embed("bge-m3", ["하나", "둘"]).embeddings])
told("embed in fewer dimensions", lambda: [len(v) for v in client.embed("bge-m3", "하나", dimensions=16).embeddings])
told("embeddings", lambda: len(client.embeddings("bge-m3", "하나").embedding))
told("list", lambda: [model.model for model in client.list().models])
told("ps", lambda: sorted(model.model for model in client.ps().models))
told("show", lambda: client.show(MODEL).capabilities)
told("tools", tools)
told("images", lambda: client.chat(MODEL, [{"role": "user", "content": "뭐가 보여?", "images": [PNG]}]).message.content)
told("generate with an image", lambda: client.generate(MODEL, "뭐가 보여?", images=[PNG]).response)
told("thinking", lambda: [(m := client.chat(MODEL, HELLO, think=True).message).thinking, m.content])
told("thinking, streamed", lambda: streamed(client.chat(MODEL, HELLO, think="low", stream=True), lambda p: p.message.thinking))
told("format", lambda: json.loads(client.chat(MODEL, HELLO, format=schema).message.content))
told("format, streamed", lambda: json.loads(streamed(client.generate(MODEL, "가", format=schema, stream=True), lambda p: p.response)))
told("options", lambda: client.generate(MODEL, "가나다라마바사", options={"num_predict": 1, "temperature": 0}).response)
told("keep alive", lambda: client.chat(MODEL, HELLO, keep_alive="10m").message.content)
told("unload", lambda: client.chat(MODEL, HELLO, keep_alive=0).message.content)
told("load options", lambda: client.chat(MODEL, HELLO, options={"num_ctx": 131072}).message.content)
told("unknown model", lambda: client.chat("nothing", HELLO).message.content)
told("unknown model, streamed", lambda: streamed(client.chat("nothing", HELLO, stream=True), lambda p: p.message.content))
told("left", left)
told("pull", lambda: client.pull("other").status)
told("pull, streamed", lambda: [part.status for part in client.pull("other", stream=True)])
told("push", lambda: client.push("other").status)
told("create", lambda: client.create("other", from_=MODEL).status)
told("copy", lambda: client.copy(MODEL, "other").status)
told("delete", lambda: client.delete(MODEL).status)
