#!/usr/bin/env bash
# The long tier: valgrind, minutes of fuzzing, kill loops in full, a soak, compose; the last line is `N passed, N failed`.
#
#   tests/long.sh                     all parts
#   tests/long.sh valgrind soak       only these: install valgrind fuzz kills soak compose
set -u
cd "$(dirname "$0")/.." || exit 1
export LANG=C.UTF-8 LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
exec </dev/null
. deploy/dependencies.sh

PARTS=${*:-install valgrind fuzz kills soak compose}
JOBS=$(nproc)
OUT=build/long
PASSED=0 FAILED=0 SKIPPED=0
VALGRIND="valgrind -q --error-exitcode=97 --leak-check=full --show-leak-kinds=definite,possible --errors-for-leak-kinds=definite"

main() {
  mkdir -p "$OUT"
  local name
  for name in install valgrind fuzz kills soak compose; do
    case " $PARTS " in *" $name "*) ;; *) continue ;; esac
    printf '\n== %s\n' "$name"
    local started=$SECONDS
    "part_$name"
    echo "$name took $((SECONDS - started)) s"
  done
  echo
  [ "$SKIPPED" -gt 0 ] && echo "$PASSED passed, $FAILED failed, $SKIPPED skipped" || echo "$PASSED passed, $FAILED failed"
  [ "$FAILED" = 0 ] && [ "$PASSED" -gt 0 ]
}

count() { PASSED=$((PASSED + $1)) FAILED=$((FAILED + $2)) SKIPPED=$((SKIPPED + ${3:-0})); }
verdict() { if [ "$1" = 0 ]; then echo "ok $2"; count 1 0; else echo "not ok $2"; count 0 1; fi; }

build() {
  { cmake --preset "$1" && cmake --build --preset "$1" -j "$JOBS"; } >"$OUT/build-$1.log" 2>&1 ||
    { tail -40 "$OUT/build-$1.log"; verdict 1 "the build of preset $1"; return 1; }
}

# pytest_part NAME PYTEST ARGUMENTS…
pytest_part() {
  local name=$1 figures
  shift
  rm -f "$OUT/$name.xml"
  TEST_LONG=1 timeout 5400 /usr/bin/python3 -m pytest -p no:cacheprovider -rs --junitxml="$OUT/$name.xml" -o junit_family=xunit1 "$@" 2>&1 |
    grep -v -E '^=+ .*(passed|failed|skipped|error).* in .*=+$'
  if figures=$(/usr/bin/python3 tests/junit_figures.py "$OUT/$name.xml"); then
    # shellcheck disable=SC2086
    count $figures
  else
    verdict 1 "$name left no report"
  fi
}

# last_line COMMAND…: runs another of our scripts and takes its figures from its last line.
last_line() {
  local figures
  "$@" | tee "$OUT/last.log"
  figures=$(sed -n -E '$s/^([0-9]+) passed, ([0-9]+) failed(, ([0-9]+) skipped)?$/\1 \2 \4/p' "$OUT/last.log")
  # shellcheck disable=SC2086
  count ${figures:-0 1}
}

part_install() {
  # shellcheck disable=SC2086
  install_packages $BUILD_PACKAGES $RUNTIME_PACKAGES $QUICKSTART_PACKAGES $TEST_PACKAGES $LONG_PACKAGES
  verdict $? "all packages are there"
}

# Without sanitizers; of the daemons only themselves, not the handlers that they start.
part_valgrind() {
  build plain || return
  local program
  while read -r program; do
    # shellcheck disable=SC2086
    timeout 600 $VALGRIND "$program" >"$OUT/valgrind.log" 2>&1
    local status=$?
    [ "$status" = 0 ] || tail -60 "$OUT/valgrind.log"
    verdict "$status" "valgrind ${program#build/plain/bin/unit/}"
  done < <(find build/plain/bin/unit -type f -executable -name 'test_*' | sort)
  TEST_WRAPPER="$VALGRIND" BUILD_DIR=build/plain TEST_PATIENCE=10 pytest_part valgrind tests/blackbox/test_stack.py -m "not long and not load"
}

part_fuzz() { FUZZ_SECONDS=${FUZZ_SECONDS:-180} last_line tests/run.sh fuzz; }

part_kills() {
  build dev || return
  BUILD_DIR=build/dev pytest_part kills tests/blackbox -m "long and not soak"
}

part_soak() {
  build release || return
  BUILD_DIR=build/release pytest_part soak tests/blackbox -m soak
}

part_compose() { last_line tests/compose/run.sh; }

main
