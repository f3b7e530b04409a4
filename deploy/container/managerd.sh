# Starts managerd; when no token is configured, makes one at the first start and keeps it where only managerd's user reads.
#   docker compose exec -T managerd cat /var/lib/app-orchestrator/token/admin
set -eu
token=/var/lib/app-orchestrator/token/admin
if [ -z "${MANAGERD_TOKEN:-}" ] && [ -z "${MANAGERD_TOKEN_FILE:-}" ]; then
  if [ ! -s "$token" ]; then
    umask 077
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$token.new"
    mv "$token.new" "$token"
  fi
  export MANAGERD_TOKEN_FILE=$token
fi
exec /usr/bin/managerd "$@"
