import os
from ollama import Client

client = Client(
    host=os.environ["SLM_URL"],
    headers={
        "CF-Access-Client-Id": os.environ["SLM_CLIENT_ID"],
        "CF-Access-Client-Secret": os.environ["SLM_CLIENT_SECRET"],
    },
    timeout=900,
)
messages = [{"role": "user", "content": "계약서를 요약해 주세요."}]
for part in client.chat(os.environ["SLM_MODEL"], messages, stream=True):
    print(part.message.content, end="", flush=True)
