#!/usr/bin/env bash
# Builds the images and brings deploy/compose.yaml up with Debian's docker.io and docker-compose, then tries what it promises.
#
#   tests/compose/run.sh          the last line is `N passed, N failed`
#
# Uses the Docker engine that runs (DOCKER_HOST is respected); starts one of its own, and ends it, when none does. Makes the base
# image with debootstrap when it is not there. Everything it makes is removed at the end, the base image aside. KEEP=1 keeps all.
set -u
cd "$(dirname "$0")/../.." || exit 1
TOP=$PWD
export LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PATH=/usr/bin:$PATH
exec </dev/null
. deploy/dependencies.sh

OUT=$TOP/build/compose
PROJECT=app-orchestrator-test
SITE_PORT=${SITE_PORT:-18080} API_PORT=${API_PORT:-18081}
export COMPOSE_FILE=$TOP/deploy/compose.yaml COMPOSE_PROJECT_NAME=$PROJECT COMPOSE_HTTP_TIMEOUT=180 DOCKER_BUILDKIT=0
export PROXYD_PUBLISH=127.0.0.1:$SITE_PORT MANAGERD_PUBLISH=127.0.0.1:$API_PORT
unset AWS_ENV_FILE
PASSED=0 FAILED=0 ENGINE= ENGINE_PID=
DATA=/var/lib/app-orchestrator

main() {
  mkdir -p "$OUT"
  trap clean_up EXIT
  trap 'exit 130' INT TERM
  # shellcheck disable=SC2086
  install_packages docker.io docker-compose debootstrap lmdb-utils curl python3 || stop_here "packages are missing"
  an_engine_runs || stop_here "no Docker engine runs and none could be started; see $OUT/dockerd.log"
  a_base_image_is_there || stop_here "no base image; see $OUT/base.log"

  expect "the images build" build
  expect "compose comes up and every service is healthy" come_up
  TOKEN=$(compose exec -T managerd cat $DATA/token/admin 2>/dev/null)
  expect "the example has been deployed" example_is_deployed
  expect "the five answers come through the published port" five_answers
  expect "the five answers come through proxyd-a alone" five_answers_through proxyd-a proxyd-b
  expect "the five answers come through proxyd-b alone" five_answers_through proxyd-b proxyd-a
  expect "both proxies have readers of their own in LMDB" readers_at_least 2
  refusals
  expect "managerd is killed and recreated; the proxies serve on without one failed request" managerd_is_replaced
  expect "each proxy is recreated in turn without one failed request" proxies_are_replaced
  expect "twenty kills of a proxy leave LMDB's readers and pages flat" twenty_kills
  expect "compose stops cleanly" go_down
}

# -- what is tried ----------------------------------------------------------------------------------------------------

build() { timeout 1500 docker-compose build >"$OUT/build.log" 2>&1 || tail_of build.log; }

come_up() {
  timeout 300 docker-compose up -d >"$OUT/up.log" 2>&1 || tail_of up.log || return 1
  local service
  for service in lambda-local managerd proxyd-a proxyd-b; do
    healthy "$service" || return 1
  done
}

example_is_deployed() {
  local tries
  for ((tries = 0; tries < 240; tries++)); do
    [ "$(docker inspect -f '{{.State.Status}}' "$(container example)")" = exited ] && break
    sleep 0.5
  done
  [ "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' "$(container example)")" = "exited 0" ] ||
    { docker logs "$(container example)" 2>&1 | tail -20; return 1; }
}

five_answers() {
  local site=http://hello.localhost:$SITE_PORT
  answer "$site/" 200 success &&
    answer "$site/notFound" 400 'bad request text' &&
    answer "$site/testProxyingWithQueryParams?text=x" 200 x &&
    answer "$site/testProxyingWithBody" 200 x -H 'Content-Type: application/json' -d '{"text":"x"}' &&
    answer "$site/else" 404 'Not Found'
}

# five_answers_through SERVES STOPPED
five_answers_through() {
  local before after
  timeout 90 docker stop "$(container "$2")" >/dev/null || return 1
  before=$(access_lines "$1")
  five_answers || return 1
  after=$(access_lines "$1")
  [ $((after - before)) = 5 ] || { echo "$1 logged $((after - before)) requests instead of 5"; return 1; }
  docker start "$(container "$2")" >/dev/null && healthy "$2"
}

# What proxyd's user must not be able to do. Each has a counterpart that must work, so that the refusal means something.
refusals() {
  local manager_pid
  manager_pid=$(compose exec -T proxyd-a sh -c 'for p in /proc/[0-9]*; do [ "$(cat $p/comm)" = managerd ] && basename $p; done' | head -1)
  expect "proxyd's process sees managerd's ($manager_pid) beside it" test -n "$manager_pid"
  refused proxyd-a "reading managerd's environment" cat "/proc/$manager_pid/environ"
  refused proxyd-a "reaching managerd's files by /proc" ls "/proc/$manager_pid/root/"
  refused proxyd-a "reading state/" ls "$DATA/state"
  refused proxyd-a "reading packages/" ls "$DATA/packages"
  allowed proxyd-a "reading the routes" test -r "$DATA/routes/data.mdb"
  refused proxyd-a "writing a route" sh -c "printf x >>$DATA/routes/data.mdb"
  refused proxyd-a "making a file beside the routes" touch "$DATA/routes/new"
  refused proxyd-a "replacing the routes" sh -c "mv $DATA/routes/data.mdb $DATA/routes/old"
  refused proxyd-a "writing into secrets/" touch "$DATA/secrets/new"
  # The same user where those folders are mounted: file modes alone must hold.
  local folder
  for folder in state keys packages token; do
    allowed managerd "managerd's user reading $folder/" ls "$DATA/$folder"
    refused_as_proxyd managerd "reading $folder/ where it is mounted" ls "$DATA/$folder"
  done
  allowed managerd "managerd's user reading its token" test -s "$DATA/token/admin"
}

managerd_is_replaced() {
  local requests=$OUT/requests.log pid
  rm -f "$OUT/enough"
  steady_requests "$requests" "$OUT/enough" &
  pid=$!
  sleep 2
  docker kill -s KILL "$(container managerd)" >/dev/null
  sleep 3
  timeout 120 docker-compose up -d --force-recreate --no-deps managerd >"$OUT/recreate.log" 2>&1 || tail_of recreate.log
  healthy managerd
  local back=$?
  sleep 2
  touch "$OUT/enough"
  wait "$pid"
  echo "$(wc -l <"$requests") requests, $(grep -vc '^200$' "$requests") failed"
  [ "$back" = 0 ] && [ "$(wc -l <"$requests")" -gt 50 ] && ! grep -qv '^200$' "$requests" &&
    [ "$(api_status GET /v1/apps/hello)" = 200 ]
}

# The documented upgrade: one after the other, the next when the last is healthy.
proxies_are_replaced() {
  local requests=$OUT/upgrade.log pids=() service healthy=0 client
  rm -f "$OUT/enough"
  for client in 1 2 3 4; do
    steady_requests "$requests.$client" "$OUT/enough" 0.01 &
    pids+=($!)
  done
  sleep 1
  for service in proxyd-a proxyd-b proxyd-a proxyd-b; do
    timeout 120 docker-compose up -d --force-recreate --no-deps "$service" >"$OUT/recreate.log" 2>&1 || tail_of recreate.log
    healthy "$service" || healthy=1
  done
  sleep 1
  touch "$OUT/enough"
  wait "${pids[@]}"
  cat "$requests".[1-4] >"$requests"
  echo "$(wc -l <"$requests") requests, $(grep -vc '^200$' "$requests") failed"
  [ "$healthy" = 0 ] && [ "$(wc -l <"$requests")" -gt 200 ] && ! grep -qv '^200$' "$requests"
}

# steady_requests LOG STOP_FILE [PAUSE]
steady_requests() {
  local count
  : >"$1"
  for ((count = 0; count < 3000; count++)); do
    [ -e "$2" ] && break
    curl -s -m 10 -o /dev/null -w '%{http_code}\n' "http://hello.localhost:$SITE_PORT/" >>"$1"
    sleep "${3:-0.05}"
  done
}

twenty_kills() {
  local round readers_before pages_before pages readers tries
  flip && flip && flip || return 1
  readers_before=$(readers) pages_before=$(pages)
  for ((round = 1; round <= 20; round++)); do
    docker kill -s KILL "$(container proxyd-a)" >/dev/null || return 1
    flip || return 1
    docker start "$(container proxyd-a)" >/dev/null || return 1
    running proxyd-a || return 1
  done
  healthy proxyd-a || return 1
  # managerd looks for dead readers from time to time.
  for ((tries = 0; tries < 90; tries++)); do
    flip || return 1
    readers=$(readers)
    [ "$readers" -le "$readers_before" ] && break
    sleep 1
  done
  pages=$(pages)
  echo "readers $readers_before -> $readers, pages $pages_before -> $pages"
  [ "$readers" -gt 0 ] && [ "$readers" -le "$readers_before" ] && [ "$pages" -gt 0 ] && [ "$pages" -le $((pages_before + 8)) ] &&
    five_answers
}

go_down() {
  timeout 180 docker-compose stop >"$OUT/stop.log" 2>&1 || tail_of stop.log || return 1
  local service code
  for service in managerd proxyd-a proxyd-b lambda-local; do
    code=$(docker inspect -f '{{.State.ExitCode}}' "$(container "$service")")
    [ "$code" = 0 ] || { echo "$service ended with $code"; return 1; }
  done
}

# -- tools ------------------------------------------------------------------------------------------------------------

# expect SENTENCE COMMAND…: one verdict.
expect() {
  local sentence=$1 started=$SECONDS said
  shift
  if said=$("$@" 2>&1); then
    PASSED=$((PASSED + 1))
    echo "ok $sentence ($((SECONDS - started)) s)${said:+: $said}"
  else
    FAILED=$((FAILED + 1))
    echo "not ok $sentence ($((SECONDS - started)) s)"
    printf '%s\n' "$said" | sed 's/^/    /'
  fi
}

stop_here() {
  echo "not ok $1"
  FAILED=$((FAILED + 1))
  exit 1
}

compose() { timeout 60 docker-compose "$@"; }
container() { docker ps -aq --filter "label=com.docker.compose.project=$PROJECT" --filter "label=com.docker.compose.service=$1" | head -1; }
allowed() { local service=$1 what=$2; shift 2; expect "$what works" compose exec -T "$service" "$@" ; }
refused() { local service=$1 what=$2; shift 2; expect "proxyd's user: $what is refused" fails docker exec "$(container "$service")" "$@"; }
refused_as_proxyd() { local service=$1 what=$2; shift 2; expect "proxyd's user: $what is refused" fails docker exec -u 10002:10000 "$(container "$service")" "$@"; }

# fails COMMAND…: true when the command itself said no (1 or 2), not when it could not be run (125 and up).
fails() {
  timeout 30 "$@" >"$OUT/refused.log" 2>&1
  case $? in 1 | 2) return 0 ;; *) cat "$OUT/refused.log"; return 1 ;; esac
}

healthy() {
  local tries state
  for ((tries = 0; tries < 180; tries++)); do
    state=$(docker inspect -f '{{.State.Health.Status}}' "$(container "$1")" 2>/dev/null)
    [ "$state" = healthy ] && return 0
    sleep 0.5
  done
  echo "$1 is ${state:-absent}, not healthy:"
  docker logs --tail 15 "$(container "$1")" 2>&1
  return 1
}

running() {
  local tries
  for ((tries = 0; tries < 60; tries++)); do
    [ "$(docker inspect -f '{{.State.Running}}' "$(container "$1")")" = true ] &&
      docker logs --since 20s "$(container "$1")" 2>&1 | grep -q '"event": *"ready"' && return 0
    sleep 0.2
  done
  echo "$1 does not come back"
  return 1
}

answer() {
  local url=$1 status=$2 body=$3 got
  shift 3
  got=$(curl -sS -m 40 --noproxy '*' -w '\n%{http_code}' "$@" "$url") || return 1
  [ "$got" = "$body"$'\n'"$status" ] || { echo "$url answered '$got'"; return 1; }
}

api_status() {
  curl -sS -m 30 --noproxy '*' -o "$OUT/api.log" -w '%{http_code}' -X "$1" -H "Authorization: Bearer $TOKEN" "http://127.0.0.1:$API_PORT$2"
}

# flip: two commits that write routes, each in force at once.
flip() {
  [ "$(api_status POST /v1/apps/hello/deactivate)" = 200 ] && [ "$(api_status POST /v1/apps/hello/activate)" = 200 ] ||
    { echo "the API says:"; cat "$OUT/api.log"; return 1; }
}

# The access log counts requests of the app, not those of the health check (which ask the admin address).
access_lines() { docker logs "$(container "$1")" 2>/dev/null | grep -c '"status"'; }
routes_folder() { docker volume inspect -f '{{.Mountpoint}}' "${PROJECT}_routes"; }
# -r lists the reader table as it is (-rr would clean it); the first line is a heading.
readers() { mdb_stat -r "$(routes_folder)" | grep -c '^ *[0-9]'; }
readers_at_least() { local found; found=$(readers); [ "$found" -ge "$1" ] && echo "$found readers"; }
pages() { mdb_stat -e "$(routes_folder)" | sed -n 's/ *Number of pages used: *//p'; }
tail_of() { tail -30 "$OUT/$1"; return 1; }

# -- the engine and the base image --------------------------------------------------------------------------------------

an_engine_runs() {
  timeout 20 docker info >/dev/null 2>&1 && return 0
  [ "$(id -u)" = 0 ] || { echo "starting a Docker engine needs root"; return 1; }
  local tries
  ENGINE=$(mktemp -d /tmp/engine.XXXXXX) || return 1 # paths of sockets must be short
  export DOCKER_HOST=unix://$ENGINE/docker.sock
  dockerd --host "$DOCKER_HOST" --data-root "$OUT/engine" --exec-root "$ENGINE/run" --pidfile "$ENGINE/pid" \
    >"$OUT/dockerd.log" 2>&1 &
  ENGINE_PID=$!
  for ((tries = 0; tries < 60; tries++)); do
    timeout 5 docker info >/dev/null 2>&1 && return 0
    kill -0 "$ENGINE_PID" 2>/dev/null || return 1
    sleep 0.5
  done
  return 1
}

a_base_image_is_there() {
  docker image inspect debian:bookworm-slim >/dev/null 2>&1 && return 0
  local mirror
  mirror=$(sed -n -E 's/^URIs: *([^ ]+).*/\1/p; s/^deb( \[[^]]*\])? ([^ ]+).*/\2/p' /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list \
    2>/dev/null | head -1)
  if [ ! -s "$OUT/base.tar" ]; then
    rm -rf "$OUT/rootfs"
    timeout 600 debootstrap --variant=minbase bookworm "$OUT/rootfs" "$mirror" >"$OUT/base.log" 2>&1 || return 1
    tar -C "$OUT/rootfs" -cf "$OUT/base.tar" . && rm -rf "$OUT/rootfs"
  fi
  docker import -c 'CMD ["bash"]' "$OUT/base.tar" debian:bookworm-slim >>"$OUT/base.log" 2>&1
}

clean_up() {
  trap - EXIT INT TERM
  if [ -z "${KEEP:-}" ]; then
    timeout 120 docker-compose down -v --remove-orphans >"$OUT/down.log" 2>&1
    docker image rm app-orchestrator/proxyd app-orchestrator/managerd app-orchestrator/lambda-local >>"$OUT/down.log" 2>&1
  fi
  if [ -n "$ENGINE_PID" ] && [ -z "${KEEP:-}" ]; then
    kill "$ENGINE_PID" 2>/dev/null
    wait "$ENGINE_PID" 2>/dev/null
    rm -rf "$OUT/engine" "$ENGINE"
  fi
  echo
  echo "$PASSED passed, $FAILED failed"
  [ "$FAILED" = 0 ] && [ "$PASSED" -gt 0 ]
  exit $?
}

main "$@"
