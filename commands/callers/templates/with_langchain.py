import os
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

common = {
    "base_url": os.environ["SLM_URL"] + "/v1",
    "api_key": "not used",
    "default_headers": {
        "CF-Access-Client-Id": os.environ["SLM_CLIENT_ID"],
        "CF-Access-Client-Secret": os.environ["SLM_CLIENT_SECRET"],
    },
    "timeout": 900,
}
chat = ChatOpenAI(model=os.environ["SLM_MODEL"], **common)
print(chat.invoke("계약서를 요약해 주세요.").content)

# Without the check it sends text; with it, numbers of OpenAI's own tokeniser, which no other model understands.
embeddings = OpenAIEmbeddings(
    model=os.environ["SLM_EMBEDDING_MODEL"], check_embedding_ctx_length=False, **common
)
print(len(embeddings.embed_documents(["하나", "둘"])))
