import os
from anthropic import Anthropic

client = Anthropic(
    base_url=os.environ["SLM_URL"],
    api_key="not used",
    default_headers={
        "CF-Access-Client-Id": os.environ["SLM_CLIENT_ID"],
        "CF-Access-Client-Secret": os.environ["SLM_CLIENT_SECRET"],
    },
    timeout=900,
)
message = client.messages.create(
    model=os.environ["SLM_MODEL"],
    max_tokens=1024,
    messages=[{"role": "user", "content": "계약서를 요약해 주세요."}],
)
print(message.content[0].text)
