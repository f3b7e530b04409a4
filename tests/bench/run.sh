#!/usr/bin/env bash
# Measures proxyd beside nginx, nginx with Lua and HAProxy: fetches them, builds release, runs everything in turn, prints tables.
#
#   tests/bench/run.sh                   all parts, some 40 minutes
#   tests/bench/run.sh --quick cpu       parts: cpu bodies latency waiting memory tls workers apps streams lambda-local
#
# Installs nothing but the build's packages; peers are unpacked below build/bench/peers. Give it a machine that does nothing else.
set -eu
cd "$(dirname "$0")/../.."
export LANG=C.UTF-8 LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
. deploy/dependencies.sh
# shellcheck disable=SC2086
install_packages $BUILD_PACKAGES $RUNTIME_PACKAGES $TEST_PACKAGES
exec /usr/bin/python3 tests/bench/compare.py "$@"
