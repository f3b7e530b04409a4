#!/bin/sh
# Deploys a zip as an app from a pipeline: waits, shows each step as it ends, fails with the reason when the deployment did.
#
#   deploy.sh [options] APP ZIP [SETTING=VALUE ...]
#
#   SETTING=VALUE   what the deployment sets: runtime=nodejs22.x handler=index.handler memoryMb=256 description="…" …
#   -u URL          managerd; default: $MANAGERD_URL, else http://127.0.0.1:8081
#   -T FILE         file that holds the token; default: $MANAGERD_TOKEN_FILE; without it $MANAGERD_TOKEN counts
#   -c FILE         certificates (PEM) that managerd's is to be trusted by; default: $MANAGERD_CA_FILE, else the system's
#   -e FILE         certificate (PEM) to show to managerd; default: $MANAGERD_CLIENT_CERTIFICATE_FILE
#   -E FILE         its key; default: $MANAGERD_CLIENT_KEY_FILE, else it is in the certificate's file
#   -p PERCENT      share of the traffic that the new version gets (0 to 100); default: all
#   -t SECONDS      how long to wait in all; default 600
#   -k KEY          makes this deployment another one than that of the same commit and zip: it is done anew
#   -q              only errors
#
# Run again with the same commit (GITHUB_SHA, CI_COMMIT_SHA or the git clone's), zip and settings within a day, it does not
# deploy a second time: it shows what became of the first; one that failed is tried again. Needs sh, curl, sed, awk.
#
# Exit code: 0 it is deployed, 1 the deployment failed or was refused, 2 wrong usage, 3 no end within the time, 4 managerd
# cannot be reached.
set -u
umask 077

URL=${MANAGERD_URL:-http://127.0.0.1:8081} TOKEN_FILE=${MANAGERD_TOKEN_FILE:-} PERCENT='' TIMEOUT=600 AGAIN='' QUIET=no
CA=${MANAGERD_CA_FILE:-} CERTIFICATE=${MANAGERD_CLIENT_CERTIFICATE_FILE:-} CERTIFICATE_KEY=${MANAGERD_CLIENT_KEY_FILE:-}
TAB=$(printf '\t')
DONE=0 FAILED=1 USAGE=2 LATE=3 UNREACHABLE=4

main() {
  read_arguments "$@"
  WORK=$(mktemp -d "${TMPDIR:-/tmp}/deploy.XXXXXX") || exit "$FAILED"
  trap 'rm -rf "$WORK"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  END=$(($(now) + TIMEOUT))
  write_curl_settings
  TRY=1
  ask_for_deployment
  # A failure that an earlier run met is known: this is another try.
  while [ "$REPLAYED" = yes ] && [ "$STATUS" -ge 400 ] && [ "$TRY" -lt 50 ]; do
    TRY=$((TRY + 1))
    ask_for_deployment
  done
  [ "$STATUS" -lt 400 ] || fail
  [ "$REPLAYED" = yes ] && say "asked for already, by operation $(value id)"
  follow
}

# -- arguments --------------------------------------------------------------------------------------------------------

usage() {
  sed -n '/^#   deploy.sh/,/^# cannot/s/^# \{0,1\}//p' "$0"
}

wrong() {
  printf 'deploy.sh: %s; see deploy.sh -h\n' "$1" >&2
  exit "$USAGE"
}

read_arguments() {
  while getopts u:T:c:e:E:p:t:k:qh option; do
    case "$option" in
    u) URL=$OPTARG ;;
    T) TOKEN_FILE=$OPTARG ;;
    c) CA=$OPTARG ;;
    e) CERTIFICATE=$OPTARG ;;
    E) CERTIFICATE_KEY=$OPTARG ;;
    p) PERCENT=$OPTARG ;;
    t) TIMEOUT=$OPTARG ;;
    k) AGAIN=$OPTARG ;;
    q) QUIET=yes ;;
    h)
      usage
      exit "$DONE"
      ;;
    *) wrong "unknown option" ;;
    esac
  done
  shift $((OPTIND - 1))
  [ $# -ge 2 ] || wrong "APP and ZIP are needed"
  APP=$1 ZIP=$2
  shift 2
  case "$APP" in '' | *[!a-z0-9-]*) wrong "'$APP' is no name of an app" ;; esac
  case "$URL" in http://?* | https://?*) URL=${URL%/} ;; *) wrong "'$URL' is no http or https address" ;; esac
  case "$URL" in *[\"\\]* | *[[:space:]]*) wrong "the address holds a character that it cannot" ;; esac
  for file in "$CA" "$CERTIFICATE" "$CERTIFICATE_KEY"; do
    [ -z "$file" ] || [ -r "$file" ] || wrong "the file '$file' cannot be read"
    case "$file" in *[\"\\]*) wrong "'$file' holds a character that a name here cannot" ;; esac
  done
  [ -z "$CERTIFICATE_KEY" ] || [ -n "$CERTIFICATE" ] || wrong "a key needs its certificate"
  case "$TIMEOUT" in '' | *[!0-9]* | 0) wrong "'$TIMEOUT' is no number of seconds" ;; esac
  if ! [ -f "$ZIP" ] || ! [ -r "$ZIP" ]; then wrong "the file '$ZIP' cannot be read"; fi
  QUERY=
  for setting; do
    case "$setting" in
    ?*=*) QUERY="$QUERY&$(percent_encode "${setting%%=*}")=$(percent_encode "${setting#*=}")" ;;
    *) wrong "'$setting' is not SETTING=VALUE" ;;
    esac
  done
  case "$PERCENT" in
  '') ;;
  *[!0-9.]* | .) wrong "'$PERCENT' is no percentage" ;;
  *) QUERY="$QUERY&traffic=%7B%22percent%22%3A$PERCENT%7D" ;;
  esac
  QUERY=${QUERY#&}
}

percent_encode() {
  printf %s "$1" | od -An -v -tx1 | awk '{
    for (i = 1; i <= NF; i++) printf "%%%s", toupper($i)
  }'
}

# What must not be seen in a list of processes goes to curl in a file.
write_curl_settings() {
  TOKEN=${MANAGERD_TOKEN:-}
  if [ -n "$TOKEN_FILE" ]; then
    [ -r "$TOKEN_FILE" ] || wrong "the token's file '$TOKEN_FILE' cannot be read"
    TOKEN=$(cat "$TOKEN_FILE")
  fi
  case "$TOKEN" in *[\"\\]* | *[[:space:]]*) wrong "the token holds a character that no token has" ;; esac
  {
    printf 'silent\nshow-error\nconnect-timeout = 10\n'
    [ -z "$CA" ] || printf 'cacert = "%s"\n' "$CA"
    [ -z "$CERTIFICATE" ] || printf 'cert = "%s"\nkey = "%s"\n' "$CERTIFICATE" "${CERTIFICATE_KEY:-$CERTIFICATE}"
    [ -z "$TOKEN" ] || printf 'header = "Authorization: Bearer %s"\n' "$TOKEN"
  } >"$WORK/curl"
  unset TOKEN MANAGERD_TOKEN
}

# -- asking -----------------------------------------------------------------------------------------------------------

now() {
  date +%s
}

left() {
  echo $((END - $(now)))
}

late() {
  printf 'deploy.sh: %s has not ended within %s s%s\n' "$APP" "$TIMEOUT" "${1:+: $1}" >&2
  exit "$LATE"
}

digest() {
  if command -v sha256sum >/dev/null 2>&1; then
    sha256sum
  elif command -v shasum >/dev/null 2>&1; then
    shasum -a 256
  elif command -v openssl >/dev/null 2>&1; then
    openssl dgst -sha256 -r
  else
    cksum
  fi | awk '{print $1}'
}

commit() {
  printf %s "${GITHUB_SHA:-${CI_COMMIT_SHA:-$(git rev-parse HEAD 2>/dev/null)}}"
}

# The answer's status goes to STATUS, its body to $WORK/answer as one "path TAB value" a line. False: there was none.
ask() {
  limit=$(left)
  [ "$limit" -gt 0 ] || late
  STATUS=$(curl -K "$WORK/curl" --max-time "$limit" -D "$WORK/head" -o "$WORK/body" -w '%{http_code}' "$@" 2>"$WORK/why") || {
    STATUS=0
    return 1
  }
  flatten <"$WORK/body" >"$WORK/answer"
}

# Until managerd takes it. All that is repeated bears the same key, so it is done once.
ask_for_deployment() {
  key=$(printf '%s\n' "$APP" "$QUERY" "$(commit)" "$(digest <"$ZIP")" "$AGAIN" "$TRY" | digest)
  pause=1 refused=0
  while :; do
    if ask -X POST -H 'Content-Type: application/zip' -H 'Expect:' -H "Idempotency-Key: $key" \
      --data-binary "@$ZIP" "$URL/v1/apps/$APP/deployments${QUERY:+?$QUERY}"; then
      REPLAYED=no
      grep -iq '^Idempotency-Replayed: *true' "$WORK/head" && REPLAYED=yes && return
      case "$STATUS" in
      200 | 202) return ;;
      # Busy, restarting, behind a gateway that is; the first of two equal requests still runs.
      408 | 409 | 429 | 502 | 503 | 504)
        [ "$STATUS" != 409 ] || [ "$(value type)" = /problems/idempotency-key-running ] || fail
        ;;
      *) fail ;;
      esac
    else
      refused=$((refused + 1))
      [ "$refused" -lt 6 ] || unreachable
    fi
    [ "$(left)" -gt "$pause" ] || late "$(cat "$WORK/why")"
    sleep "$pause"
    pause=$((pause < 8 ? pause * 2 : 8))
  done
}

unreachable() {
  printf 'deploy.sh: %s cannot be reached: %s\n' "$URL" "$(cat "$WORK/why")" >&2
  exit "$UNREACHABLE"
}

# Looks each second, through restarts of managerd, until the operation has ended.
follow() {
  id=$(value id)
  : >"$WORK/shown"
  while :; do
    if [ "$STATUS" = 200 ] || [ "$STATUS" = 202 ]; then
      show_steps
      case "$(value state)" in
      succeeded) succeed ;;
      failed | cancelled) fail problem. ;;
      esac
    elif [ "$STATUS" = 401 ] || [ "$STATUS" = 403 ] || [ "$STATUS" = 404 ]; then
      fail
    fi
    [ "$(left)" -gt 1 ] || late "operation $id goes on"
    sleep 1
    ask "$URL/v1/operations/$id" || true
  done
}

# -- showing ----------------------------------------------------------------------------------------------------------

# JSON to lines "path TAB value", as steps.0.name; what cannot be seen in a line becomes a blank.
flatten() {
  tr '\n\r\t' '   ' | awk '
    function blanks() { while (substr(text, at, 1) == " ") at++ }
    function string(  out, c) {
      out = ""; at++
      while (at <= length(text) && (c = substr(text, at, 1)) != "\"") {
        if (c == "\\") {
          at++; c = substr(text, at, 1)
          if (c == "n" || c == "t" || c == "r" || c == "b" || c == "f") c = " "
          else if (c == "u") { c = "\\u" }
        }
        out = out c; at++
      }
      at++; return out
    }
    function value(path,  c, name, n, start) {
      blanks(); c = substr(text, at, 1)
      if (c == "{" || c == "[") {
        at++; n = 0
        while (at <= length(text)) {
          blanks()
          if (substr(text, at, 1) ~ /[]}]/) { at++; return }
          if (substr(text, at, 1) == ",") { at++; blanks() }
          if (c == "{") { name = string(); blanks(); at++ } else name = n++
          value(path == "" ? name : path "." name)
        }
      } else if (c == "\"") print path "\t" string()
      else {
        start = at
        while (at <= length(text) && substr(text, at, 1) !~ /[],} ]/) at++
        if (at == start) at++
        print path "\t" substr(text, start, at - start)
      }
    }
    { text = text $0 }
    END { at = 1; value("") }'
}

value() {
  sed -n "s/^$1$TAB//p" "$WORK/answer" | head -n 1
}

say() {
  [ "$QUIET" = yes ] || printf '%s\n' "$1"
}

show_steps() {
  number=0
  while name=$(value "steps\\.$number\\.name") && [ -n "$name" ]; do
    state=$(value "steps\\.$number\\.state")
    attempts=$(value "steps\\.$number\\.attempts")
    line="$number $state"
    case "$state" in
    done | skipped | failed)
      if ! grep -qx "$line" "$WORK/shown"; then
        echo "$line" >>"$WORK/shown"
        detail=$(value "steps\\.$number\\.detail")
        [ "${attempts:-1}" -gt 1 ] 2>/dev/null && state="$state after $attempts attempts"
        say "  $(printf '%-22s' "$name") $state${detail:+: $detail}"
      fi
      ;;
    esac
    number=$((number + 1))
  done
}

succeed() {
  version=$(value 'result\.version')
  say "$APP: version $version is deployed"
  if [ -n "${GITHUB_OUTPUT:-}" ]; then
    printf 'version=%s\noperation=%s\n' "$version" "$id" >>"$GITHUB_OUTPUT"
  fi
  exit "$DONE"
}

# Tells the problem: that of the answer, or (problem.) of the operation.
fail() {
  at=${1:-}
  title=$(value "${at}title") detail=$(value "${at}detail")
  {
    printf 'deploy.sh: %s: %s%s\n' "$APP" "${title:-the answer was $STATUS}" "${detail:+: $detail}"
    sed -n "s/^${at}errors\.[0-9]*\.[a-z]*$TAB/    /p" "$WORK/answer"
    code=$(value "${at}aws\\.code")
    [ -z "$code" ] || printf '    AWS: %s, request %s\n' "$code" "$(value "${at}aws\\.requestId")"
    instance=$(value "${at}instance")
    [ -z "$instance" ] || printf '    %s\n' "$instance"
  } >&2
  if [ "${GITHUB_ACTIONS:-}" = true ]; then
    printf '::error title=%s was not deployed::%s\n' "$APP" "${title:-$STATUS}${detail:+: $detail}" | sed 's/%/%25/g'
  fi
  exit "$FAILED"
}

main "$@"
