import os
from openai import OpenAI

client = OpenAI(
    base_url=os.environ["SLM_URL"] + "/v1",
    api_key="not used",
    default_headers={
        "CF-Access-Client-Id": os.environ["SLM_CLIENT_ID"],
        "CF-Access-Client-Secret": os.environ["SLM_CLIENT_SECRET"],
    },
    timeout=900,
)
stream = client.chat.completions.create(
    model=os.environ["SLM_MODEL"],
    messages=[{"role": "user", "content": "계약서를 요약해 주세요."}],
    stream=True,
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
