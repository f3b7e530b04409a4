# The Debian 12 packages that building, running and testing need, and the one way they are installed.
# Sourced (POSIX sh) by deploy/quickstart.sh, tests/run.sh and the Dockerfiles, so that no list is kept twice.

BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config libevent-dev libcurl4-openssl-dev libssl-dev libcjson-dev
  liblmdb-dev libzip-dev libexpat1-dev zlib1g-dev libmimalloc-dev"

# What the built programs load.
LIBRARY_PACKAGES="libevent-core-2.1-7 libevent-extra-2.1-7 libevent-openssl-2.1-7 libevent-pthreads-2.1-7 libcurl4 libssl3
  libcjson1 liblmdb0 libzip4 libexpat1 zlib1g libmimalloc2.0
  ca-certificates"

# lambda-local runs handlers with these (a node that is there already will do).
RUNTIME_PACKAGES="nodejs python3"
QUICKSTART_PACKAGES="curl procps"

TEST_PACKAGES="clang-14 libclang-rt-14-dev llvm-14 clang-format-14 libcmocka-dev python3-pytest python3-boto3
  python3-botocore python3-hypothesis python3-prometheus-client python3-jsonschema python3-yaml python3-h11 python3-pytest-xdist
  python3-jwt python3-cryptography chromium chromium-driver python3-selenium
  awscli strace lmdb-utils zip procps git libpcre2-8-0"

# The second line compiles aws-lambda-ric.
LONG_PACKAGES="valgrind docker.io docker-compose debootstrap
  autoconf automake libtool make g++"

# missing_packages NAME...: prints those that are not installed.
missing_packages() {
  for package in "$@"; do
    case "$package" in
    nodejs) command -v node >/dev/null 2>&1 && continue ;;
    python3) [ -x /usr/bin/python3 ] && continue ;;
    esac
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

# as_root COMMAND...: as it is for root, through sudo for others.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null 2>&1; then
    sudo "$@"
  else
    echo "cannot run '$*': neither root nor sudo" >&2
    return 1
  fi
}

# install_packages NAME...: installs what is missing, and touches no network when nothing is.
# One `apt-get update` when a package is unknown or its file is gone; three tries in all.
install_packages() {
  wanted=$(missing_packages "$@")
  [ -n "$wanted" ] || return 0
  echo "installing:" $wanted
  for try in 1 2 3; do
    if [ "$try" -gt 1 ] || [ -z "$(ls /var/lib/apt/lists 2>/dev/null | grep -v -e lock -e partial -e auxfiles)" ]; then
      as_root env DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -q -y update </dev/null || true
    fi
    # shellcheck disable=SC2086
    if as_root env DEBIAN_FRONTEND=noninteractive timeout 900 apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 \
        install --no-install-recommends $wanted </dev/null; then
      return 0
    fi
    echo "apt-get failed (try $try of 3)" >&2
    sleep "$((try * 3))"
  done
  echo "could not install:" $wanted >&2
  return 1
}
