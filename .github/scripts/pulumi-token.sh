#!/bin/sh
# Exchanges the job's GitHub identity for a Pulumi Cloud token that lives an hour, so that no long-lived token is stored.
# Needs `permissions: id-token: write`, and GitHub registered as an OIDC issuer in Pulumi Cloud (docs/pull-requests.md).
# https://www.pulumi.com/docs/reference/cloud-rest-api/oauth-token-exchange
set -eu

: "${PULUMI_ORGANIZATION:?is not set}"
: "${ACTIONS_ID_TOKEN_REQUEST_URL:?is not set: the job needs permissions: id-token: write}"
audience=urn:pulumi:org:$PULUMI_ORGANIZATION

# Tokens go through standard input or files of curl, never through arguments, which other processes can read.
identity=$(printf 'header = "Authorization: bearer %s"\n' "$ACTIONS_ID_TOKEN_REQUEST_TOKEN" |
  curl -sS --fail-with-body --config - "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=$audience" |
  sed -n 's/.*"value" *: *"\([^"]*\)".*/\1/p')
[ -n "$identity" ] || { echo "GitHub gave no identity token" >&2; exit 1; }
echo "::add-mask::$identity"

answer=$(printf '%s' "$identity" | curl -sS --fail-with-body \
  "${PULUMI_API:-https://api.pulumi.com}/api/oauth/token" \
  --data-urlencode "audience=$audience" \
  --data-urlencode grant_type=urn:ietf:params:oauth:grant-type:token-exchange \
  --data-urlencode subject_token_type=urn:ietf:params:oauth:token-type:id_token \
  --data-urlencode "requested_token_type=urn:pulumi:token-type:access_token:${PULUMI_TOKEN_TYPE:-organization}" \
  --data-urlencode expiration=3600 \
  --data-urlencode subject_token@-)
token=$(printf '%s' "$answer" | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p')
[ -n "$token" ] || { echo "Pulumi Cloud gave no token" >&2; exit 1; }
echo "::add-mask::$token"
echo "token=$token" >>"$GITHUB_OUTPUT"
