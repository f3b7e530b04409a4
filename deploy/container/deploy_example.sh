# Deploys the example app through managerd's API, as anyone would, and ends: 0 when it is deployed, also when it was before.
set -eu
api=${MANAGERD_URL:-http://127.0.0.1:8081}
token=$(cat "${MANAGERD_TOKEN_FILE:-/var/lib/app-orchestrator/token/admin}")
zip=$(mktemp -d)/hello.zip
cd /usr/share/doc/app-orchestrator/examples/hello
python3 -m zipfile -c "$zip" index.js
if curl -sf -m 10 -H "Authorization: Bearer $token" "$api/v1/apps/hello/versions" | grep -q '"state": *"ready"'; then
  echo "hello is deployed already"
  exit 0
fi
curl -sS -m 180 --fail-with-body --data-binary "@$zip" -H 'Content-Type: application/zip' -H 'Prefer: wait=150' \
  -H "Authorization: Bearer $token" "$api/v1/apps/hello/deployments?runtime=nodejs22.x&handler=index.handler"
echo
