curl --fail-with-body --silent --show-error --no-buffer "$SLM_URL/v1/chat/completions" \
  -H "CF-Access-Client-Id: $SLM_CLIENT_ID" \
  -H "CF-Access-Client-Secret: $SLM_CLIENT_SECRET" \
  -H "Content-Type: application/json" \
  -d '{"model": "'"$SLM_MODEL"'", "stream": true, "messages": [{"role": "user", "content": "계약서를 요약해 주세요."}]}'
