#!/usr/bin/env bash
# Installs what is missing, builds, starts lambda-local, managerd and proxyd, deploys the example app and shows its answers.
#
#   deploy/quickstart.sh            stays up until Ctrl-C
#   deploy/quickstart.sh --check    the same, then stops; exits 0 when everything answered, else 1
#   deploy/quickstart.sh --aws      real AWS instead of lambda-local: AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
#                                   (AWS_SESSION_TOKEN) and AWS_LAMBDA_ROLE_ARN must be set
#
# Listens where PROXYD_LISTEN (0.0.0.0:8080), PROXYD_ADMIN_LISTEN (127.0.0.1:9080), MANAGERD_LISTEN (127.0.0.1:8081) and
# LAMBDA_LOCAL_LISTEN (127.0.0.1:9001) say; keeps its data in ORCHESTRATOR_DATA_DIR (build/quickstart of this clone).
# After the packages are installed it needs no network.
set -u -o pipefail
TOP=$(cd "$(dirname "$0")/.." && pwd) || exit 1
cd "$TOP" || exit 1
. deploy/dependencies.sh
export LANG=C.UTF-8 LC_ALL=C.UTF-8

CHECK=no AWS=no
STEP=0 STEPS=5
PIDS=() NAMES=()
BIN=$TOP/build/release/bin

main() {
  read_arguments "$@"
  trap stop_all EXIT
  trap 'echo; exit 130' INT
  trap 'exit 143' TERM
  export ORCHESTRATOR_DATA_DIR=${ORCHESTRATOR_DATA_DIR:-$TOP/build/quickstart}
  LOGS=$ORCHESTRATOR_DATA_DIR/log
  mkdir -p "$LOGS" || fail "cannot write to $ORCHESTRATOR_DATA_DIR (ORCHESTRATOR_DATA_DIR)"
  ORCHESTRATOR_DATA_DIR=$(cd "$ORCHESTRATOR_DATA_DIR" && pwd) LOGS=$ORCHESTRATOR_DATA_DIR/log

  step "packages" install_what_is_missing
  step "build" build_release
  step "start" start_all
  step "deploy docs/examples/hello" deploy_example
  step "ask the app through proxyd" ask_the_five
  say "done in $SECONDS s"
  [ "$CHECK" = yes ] && exit 0
  tell_what_is_where
  stay_up
}

read_arguments() {
  local argument
  for argument in "$@"; do
    case "$argument" in
    --check) CHECK=yes ;;
    --aws) AWS=yes ;;
    -h | --help)
      sed -n '2,12s/^# \{0,1\}//p' "$TOP/deploy/quickstart.sh"
      exit 0
      ;;
    *)
      echo "unknown argument '$argument'; see deploy/quickstart.sh --help" >&2
      exit 2
      ;;
    esac
  done
}

# -- the steps ----------------------------------------------------------------------------------------------------------

install_what_is_missing() {
  # shellcheck disable=SC2086
  install_packages $BUILD_PACKAGES $RUNTIME_PACKAGES $QUICKSTART_PACKAGES 2>&1 | tee "$LOGS/packages.log" |
    some_lines '^(Setting up|Unpacking)' 25 || fail "installing packages failed; the whole story is in $LOGS/packages.log"
}

build_release() {
  cmake --preset release >"$LOGS/configure.log" 2>&1 || fail "configuring failed:" "$LOGS/configure.log"
  cmake --build --preset release 2>&1 | tee "$LOGS/build.log" | some_lines '^\[' 20 ||
    fail "the build failed:" "$LOGS/build.log"
}

start_all() {
  export PROXYD_LISTEN=${PROXYD_LISTEN:-0.0.0.0:8080} PROXYD_ADMIN_LISTEN=${PROXYD_ADMIN_LISTEN:-127.0.0.1:9080}
  export MANAGERD_LISTEN=${MANAGERD_LISTEN:-127.0.0.1:8081} LAMBDA_LOCAL_LISTEN=${LAMBDA_LOCAL_LISTEN:-127.0.0.1:9001}
  # Canaries are judged by what this proxy measures.
  [ "${PROXYD_ADMIN_LISTEN##*:}" = 0 ] || export MANAGERD_PROXIES=${MANAGERD_PROXIES:-$(reachable "$PROXYD_ADMIN_LISTEN")}
  port_is_free PROXYD_LISTEN
  port_is_free PROXYD_ADMIN_LISTEN
  port_is_free MANAGERD_LISTEN
  if [ "$AWS" = yes ]; then
    real_aws
  else
    port_is_free LAMBDA_LOCAL_LISTEN
    local_aws
  fi
  export ORCHESTRATOR_PUBLIC_URL=${ORCHESTRATOR_PUBLIC_URL:-http://localhost:${PROXYD_LISTEN##*:}}
  start managerd
  MANAGER=$(reachable "$(listen_of managerd)")
  start proxyd
  PROXY_PORT=$(listen_of proxyd) PROXY_PORT=${PROXY_PORT##*:}
  wait_for_ok "http://$MANAGER/readyz" managerd
  wait_for_ok "http://$(admin_of proxyd)/readyz" proxyd
}

# The one-line curl of the API, as a person would type it.
deploy_example() {
  local zip=$ORCHESTRATOR_DATA_DIR/hello.zip url answer
  rm -f "$zip"
  (cd docs/examples/hello && python3 -m zipfile -c "$zip" index.js) || fail "could not make $zip"
  url="http://$MANAGER/v1/apps/hello/deployments?runtime=nodejs22.x&handler=index.handler"
  say "curl --data-binary @hello.zip -H 'Content-Type: application/zip' '$url'"
  answer=$LOGS/deployment.json
  curl_quietly -m 150 --fail-with-body --data-binary "@$zip" -H 'Content-Type: application/zip' -H 'Prefer: wait=120' "${AUTHORIZATION[@]}" \
    -o "$answer" "$url" || fail "the deployment failed:" "$answer"
  grep -q '"state": *"succeeded"' "$answer" || fail "the deployment did not succeed:" "$answer"
}

ask_the_five() {
  local site=http://hello.localhost:$PROXY_PORT
  ask "$site/" 200 success
  ask "$site/notFound" 400 'bad request text'
  ask "$site/testProxyingWithQueryParams?text=x" 200 x
  ask "$site/testProxyingWithBody" 200 x -H 'Content-Type: application/json' -d '{"text":"x"}'
  ask "$site/anything/else" 404 'Not Found'
}

tell_what_is_where() {
  cat <<MESSAGE

  the app        http://hello.localhost:$PROXY_PORT/
  the console    http://$MANAGER/
  the API        http://$MANAGER/v1/apps
  the metrics    http://$(admin_of proxyd)/metrics
  the logs       $LOGS
  deploy again   curl --data-binary @app.zip -H 'Content-Type: application/zip' \\
                   'http://$MANAGER/v1/apps/hello/deployments?runtime=nodejs22.x&handler=index.handler'

  Ctrl-C stops everything.
MESSAGE
}

# -- the daemons --------------------------------------------------------------------------------------------------------

# lambda-local in AWS's place; keys of the caller's own are of no use to it and stay out.
local_aws() {
  start lambda-local
  unset AWS_SESSION_TOKEN AWS_PROFILE AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3
  export AWS_ENDPOINT_URL_LAMBDA AWS_REGION=us-east-1 AWS_LAMBDA_ROLE_ARN=arn:aws:iam::000000000000:role/apps
  AWS_ENDPOINT_URL_LAMBDA=http://$(reachable "$(listen_of lambda-local)")
  export AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=$AWS_ENDPOINT_URL_LAMBDA AWS_ENDPOINT_URL_STS=$AWS_ENDPOINT_URL_LAMBDA
  export AWS_ACCESS_KEY_ID=${LAMBDA_LOCAL_ACCESS_KEY_ID:-local} AWS_SECRET_ACCESS_KEY=${LAMBDA_LOCAL_SECRET_ACCESS_KEY:-local}
}

real_aws() {
  local name
  for name in AWS_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_LAMBDA_ROLE_ARN; do
    [ -n "${!name:-}" ] || fail "--aws needs $name in the environment"
  done
  say "real AWS in $AWS_REGION; lambda-local stays out"
}

# start NAME: runs a daemon in a session of its own (Ctrl-C reaches us alone) and waits for its ready line.
start() {
  local log=$LOGS/$1.log pid tries
  : >"$log" # here, not by the child's redirection: an earlier run's ready line must not be met
  setsid "$BIN/$1" >"$LOGS/$1.access.log" 2>"$log" </dev/null &
  pid=$!
  PIDS+=("$pid") NAMES+=("$1")
  echo "$pid" >"$LOGS/$1.pid"
  for ((tries = 0; tries < 200; tries++)); do
    if grep -qs '"event": *"ready"' "$log"; then
      say "$1 listens on $(listen_of "$1") (pid $pid)"
      return
    fi
    kill -0 "$pid" 2>/dev/null || fail "$1 did not start:" "$log"
    sleep 0.05
  done
  fail "$1 was not ready within 10 s:" "$log"
}

ready_member() { grep -m 1 '"event": *"ready"' "$LOGS/$1.log" | sed -n "s/.*\"$2\": *\"\([^\"]*\)\".*/\1/p"; }
listen_of() { ready_member "$1" listen; }
admin_of() { reachable "$(ready_member "$1" admin)"; }

# reachable ADDRESS: an address that is bound to every interface is asked on loopback.
reachable() {
  case "$1" in
  0.0.0.0:* | '[::]:'*) echo "127.0.0.1:${1##*:}" ;;
  *) echo "$1" ;;
  esac
}

# port_is_free VARIABLE: two proxies may share a port by design, so a taken one must be found by asking.
port_is_free() {
  local address port host name
  address=$(reachable "${!1}") port=${!1##*:}
  host=${address%:*} host=${host#[} host=${host%]}
  [ "$port" = 0 ] && return
  (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null || return 0
  for name in proxyd managerd lambda-local; do
    if [ -s "$LOGS/$name.pid" ] && kill -0 "$(cat "$LOGS/$name.pid")" 2>/dev/null; then
      fail "port $port ($1) is taken: a quickstart of this clone seems to run already ($name is pid $(cat "$LOGS/$name.pid"))"
    fi
  done
  fail "port $port ($1=${!1}) is taken by another program; choose another: $1=127.0.0.1:$((port + 10000)) deploy/quickstart.sh"
}

stay_up() {
  local index
  wait -n
  for index in "${!PIDS[@]}"; do
    kill -0 "${PIDS[$index]}" 2>/dev/null || fail "${NAMES[$index]} ended:" "$LOGS/${NAMES[$index]}.log"
  done
}

# Ends what we started, in the order of the path: first what takes requests.
stop_all() {
  local status=$? index pid tries
  trap - EXIT INT TERM
  for ((index = ${#PIDS[@]} - 1; index >= 0; index--)); do
    pid=${PIDS[$index]}
    kill -TERM "$pid" 2>/dev/null || continue
    for ((tries = 0; tries < 200; tries++)); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.05
    done
    if kill -KILL "$pid" 2>/dev/null; then
      say "${NAMES[$index]} did not stop within 10 s and was killed"
      [ "$status" != 0 ] || status=1
    elif wait "$pid"; then
      rm -f "$LOGS/${NAMES[$index]}.pid"
    else
      say "${NAMES[$index]} ended with $?; its log is $LOGS/${NAMES[$index]}.log"
      [ "$status" != 0 ] || status=1
    fi
  done
  [ ${#PIDS[@]} = 0 ] || say "stopped"
  exit "$status"
}

# -- words and questions ------------------------------------------------------------------------------------------------

step() {
  local title=$1 started=$SECONDS
  shift
  STEP=$((STEP + 1))
  echo "[$STEP/$STEPS] $title"
  "$@"
  echo "      $((SECONDS - started)) s"
}

say() { echo "      $*"; }

# fail SENTENCE [FILE]: the sentence, the end of the file, and out.
fail() {
  echo "quickstart: $1" >&2
  [ -z "${2:-}" ] || tail -n 25 "$2" | sed 's/^/      /' >&2
  exit 1
}

# some_lines PATTERN N: of the lines that match, every Nth; what else is said, only when it is about an error.
some_lines() {
  awk -v pattern="$1" -v every="$2" '
    $0 ~ pattern { if (++n % every == 0) { print "      " $0; fflush() } next }
    /^installing:|rror|E: |newly installed/ { print "      " $0; fflush() }'
}

curl_quietly() { curl -sS --noproxy '*' "$@"; }

wait_for_ok() {
  local tries
  for ((tries = 0; tries < 200; tries++)); do
    curl_quietly -f -m 5 -o /dev/null "$1" 2>/dev/null && return
    sleep 0.05
  done
  fail "$2 is not ready: $1 says '$(curl_quietly -m 5 "$1" 2>&1 | head -c 300)'" "$LOGS/$2.log"
}

# ask URL STATUS BODY [CURL OPTIONS]: one request, and what must come back.
ask() {
  local url=$1 status=$2 body=$3 got
  shift 3
  got=$(curl_quietly -m 40 -w '\n%{http_code}' "$@" "$url") || fail "no answer from $url" "$LOGS/proxyd.log"
  [ "$got" = "$body"$'\n'"$status" ] ||
    fail "$url answered ${got##*$'\n'} '${got%$'\n'*}' instead of $status '$body'" "$LOGS/proxyd.log"
  say "$([ $# -gt 0 ] && echo POST || echo GET) $url -> $status $body"
}

AUTHORIZATION=()
if [ -n "${MANAGERD_TOKEN_FILE:-}" ]; then
  AUTHORIZATION=(-H "Authorization: Bearer $(cat "$MANAGERD_TOKEN_FILE")")
elif [ -n "${MANAGERD_TOKEN:-}" ]; then
  AUTHORIZATION=(-H "Authorization: Bearer $MANAGERD_TOKEN")
fi
main "$@"
