#!/usr/bin/env bash
# Installs what it needs, builds everything and runs every test of the quick tier; the last line is `N passed, N failed`.
#
#   tests/run.sh                     all parts
#   tests/run.sh lint unit           only these: install dev lint unit blackbox quickstart clang tsan fuzz
#
# Needs no standard input, works as root or with sudo, and prints the time of each part. docs/testing.md has the budget.
set -u
cd "$(dirname "$0")/.." || exit 1
export LANG=C.UTF-8 LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PYTHONDONTWRITEBYTECODE=1
unset CFLAGS CXXFLAGS LDFLAGS CC CXX MAKEFLAGS
exec </dev/null
. deploy/dependencies.sh

PARTS=${*:-install dev lint unit blackbox quickstart clang tsan fuzz}
JOBS=$(nproc)
OUT=build/tests
FUZZ_SECONDS=${FUZZ_SECONDS:-5}
PASSED=0 FAILED=0 SKIPPED=0
TIMES=

say() { printf '\n== %s\n' "$*"; }
wanted() { case " $PARTS " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

# count PASSED FAILED [SKIPPED]: adds to the sums that the last line tells.
count() {
  PASSED=$((PASSED + $1)) FAILED=$((FAILED + $2)) SKIPPED=$((SKIPPED + ${3:-0}))
}

# part NAME FUNCTION: runs one part, tells its time.
part() {
  wanted "$1" || return 0
  say "$1"
  local started=$SECONDS before=$FAILED
  "$2"
  TIMES+=$(printf '%-10s %4d s%s' "$1" $((SECONDS - started)) "$([ "$FAILED" = "$before" ] || echo '  FAILED')")$'\n'
}

# junit FILE WHAT: adds the figures of a JUnit report; a report that is missing or tells of no test is a failure.
junit() {
  local figures
  if figures=$(/usr/bin/python3 tests/junit_figures.py "$1"); then
    # shellcheck disable=SC2086
    count $figures
  else
    echo "$2 left no report in $1"
    count 0 1
  fi
}

# build PRESET: configures and builds; only a failure is worth lines on the screen.
build() {
  local log=$OUT/build-$1.log
  if { cmake --preset "$1" && cmake --build --preset "$1" -j "$JOBS"; } >"$log" 2>&1; then
    echo "preset $1: built ($(grep -c '^\[' "$log") steps)"
    count 1 0
  else
    grep -v '^\[' "$log" | tail -60
    echo "preset $1: the build failed, see $log"
    count 0 1
    return 1
  fi
}

part_install() {
  # shellcheck disable=SC2086
  if install_packages $BUILD_PACKAGES $RUNTIME_PACKAGES $QUICKSTART_PACKAGES $TEST_PACKAGES && install_npm && unpack_nginx; then
    echo "all packages are there"
  else
    count 0 1
  fi
}

# npm is only asked for where node has come from Debian without it; tests that need it skip, with the reason, without it.
install_npm() {
  command -v npm >/dev/null 2>&1 || install_packages npm || [ "${CI:-}" != true ]
}

# nginx is a peer that the guard is compared with: unpacked, as installing it would start a server on port 80.
unpack_nginx() {
  [ -x /usr/sbin/nginx ] || [ -x "$OUT/nginx/usr/sbin/nginx" ] && return 0
  (mkdir -p "$OUT/nginx" && cd "$OUT/nginx" && apt-get download -q nginx >/dev/null && dpkg -x nginx_*.deb . && rm nginx_*.deb)
}

part_dev() { build dev; }

part_lint() {
  BUILD_DIR=build/dev timeout 120 /usr/bin/python3 tests/lint/run.py | tee "$OUT/lint.log" | sed '$d'
  local figures
  figures=$(sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$OUT/lint.log")
  # shellcheck disable=SC2086
  count ${figures:-0 1}
}

# unit PRESET: the unit tests of a build.
unit() {
  rm -f "$OUT/unit-$1.xml"
  timeout 600 ctest --test-dir "build/$1" -j "$JOBS" --output-on-failure --no-tests=error --progress \
    --output-junit "$PWD/$OUT/unit-$1.xml" >"$OUT/unit-$1.log" 2>&1 || grep -v 'Passed\|Start ' "$OUT/unit-$1.log" | tail -80
  tail -4 "$OUT/unit-$1.log"
  junit "$OUT/unit-$1.xml" "ctest of $1"
}

part_unit() { unit dev; }

# blackbox NAME PRESET PYTEST_OPTIONS…: black-box tests against the binaries of a build.
blackbox() {
  local name=blackbox-$1 preset=$2
  shift 2
  rm -f "$OUT/$name.xml"
  BUILD_DIR=build/$preset timeout "${BLACKBOX_SECONDS:-600}" /usr/bin/python3 -m pytest -p no:cacheprovider -rs -q \
    --durations=8 --junitxml="$OUT/$name.xml" -o junit_family=xunit1 tests/blackbox "$@" 2>&1 |
    tee "$OUT/$name.log" | grep -v -E '^(=+ )?[0-9]+ (passed|failed|skipped).* in .*$'
  junit "$OUT/$name.xml" "pytest of $name"
}

# Most of a test's time is waiting, so three files run at once; what needs the machine's full speed runs alone.
part_blackbox() {
  rm -rf "$OUT/aws-calls"
  export TEST_AWS_CALLS=$PWD/$OUT/aws-calls
  blackbox dev dev -n 3 --dist loadfile -m "not load"
  blackbox load dev -m load
  unset TEST_AWS_CALLS
  actions_called
}

# actions_called: what the tests called of AWS, and what the policies in deploy/iam allow.
actions_called() {
  /usr/bin/python3 tests/aws_actions_called.py "$OUT/aws-calls" >"$OUT/aws-calls.log"
  sed '$d' "$OUT/aws-calls.log"
  local figures
  figures=$(sed -n '$s/^\([01] [01]\)$/\1/p' "$OUT/aws-calls.log")
  # shellcheck disable=SC2086
  count ${figures:-0 1}
}

# quickstart SENTENCE EXPECTED_CODE WORDS VARIABLE=VALUE…: one run of deploy/quickstart.sh --check in a data folder of its own.
quickstart() {
  local sentence=$1 code=$2 words=$3 log=$OUT/quickstart.log
  shift 3
  timeout 600 env -u MANAGERD_TOKEN ORCHESTRATOR_DATA_DIR="$PWD/$OUT/quickstart" "$@" deploy/quickstart.sh --check >"$log" 2>&1
  if [ $? = "$code" ] && grep -q "$words" "$log"; then
    echo "quickstart: $sentence ($(tail -1 "$log" | tr -s ' '))"
    count 1 0
  else
    tail -40 "$log"
    echo "quickstart: FAILED: $sentence"
    count 0 1
  fi
}

part_quickstart() {
  local free="PROXYD_LISTEN=127.0.0.1:0 PROXYD_ADMIN_LISTEN=127.0.0.1:0 MANAGERD_LISTEN=127.0.0.1:0 LAMBDA_LOCAL_LISTEN=127.0.0.1:0" taken
  rm -rf "$OUT/quickstart"
  # shellcheck disable=SC2086
  quickstart "the five answers come" 0 "anything/else -> 404 Not Found" $free
  # shellcheck disable=SC2086
  quickstart "they come again over the data of the first run" 0 "anything/else -> 404 Not Found" $free
  taken=$(/usr/bin/python3 -c 'import socket, time; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1], flush=True); time.sleep(30)' \
    >"$OUT/taken" & echo $!)
  until [ -s "$OUT/taken" ]; do sleep 0.1; done
  # shellcheck disable=SC2086
  quickstart "a taken port is told" 1 "is taken by another program" $free PROXYD_LISTEN="127.0.0.1:$(cat "$OUT/taken")"
  kill "$taken"
  rm -f "$OUT/taken"
}

part_clang() { build clang; }

part_tsan() {
  build tsan || return
  unit tsan
  blackbox tsan tsan -n 2 --dist loadfile -m threads
}

# fuzz_seeds TARGET: the vectors that the target's CMakeLists.txt line names.
fuzz_seeds() {
  sed -n "s/^fuzz_target($1 .*SEEDS \([a-z0-9_/]*\).*/tests\/vectors\/\1/p" tests/fuzz/CMakeLists.txt
}

# fuzz_one TARGET: some seconds of new inputs; what it finds stays in build/tests/fuzz.
fuzz_one() {
  local target=$1 seeds
  seeds=$(fuzz_seeds "$target")
  mkdir -p "$OUT/fuzz/$target"
  timeout $((FUZZ_SECONDS + 60)) "build/fuzz/bin/fuzz/$target" -max_total_time="$FUZZ_SECONDS" -rss_limit_mb=4096 -timeout=10 \
    -verbosity=0 -print_final_stats=1 -artifact_prefix="$OUT/fuzz/$target-" "$OUT/fuzz/$target" $seeds \
    >"$OUT/fuzz/$target.log" 2>&1
  echo $? >"$OUT/fuzz/$target.exit"
}

part_fuzz() {
  build fuzz || return
  local target targets runs started=0
  targets=$(sed -n 's/^fuzz_target(\([a-z0-9_]*\).*/\1/p' tests/fuzz/CMakeLists.txt)
  [ -n "$targets" ] || count 0 1
  mkdir -p "$OUT/fuzz"
  for target in $targets; do
    rm -f "$OUT/fuzz/$target.exit"
    fuzz_one "$target" &
    started=$((started + 1))
    [ $((started % JOBS)) = 0 ] && wait
  done
  wait
  for target in $targets; do
    if [ "$(cat "$OUT/fuzz/$target.exit")" = 0 ]; then
      runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$OUT/fuzz/$target.log")
      echo "$target: nothing found in ${runs:-?} runs"
      count 1 0
    else
      tail -40 "$OUT/fuzz/$target.log"
      echo "$target: FAILED"
      count 0 1
    fi
  done
}

mkdir -p "$OUT"
part install part_install
part dev part_dev
part lint part_lint
part unit part_unit
part blackbox part_blackbox
part quickstart part_quickstart
part clang part_clang
part tsan part_tsan
part fuzz part_fuzz

say "times"
printf '%s%-10s %4d s\n' "$TIMES" total "$SECONDS"
echo
[ "$((PASSED + FAILED))" -gt 0 ] || FAILED=1
if [ "$SKIPPED" -gt 0 ]; then
  echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
else
  echo "$PASSED passed, $FAILED failed"
fi
[ "$FAILED" = 0 ]
