# Asks a daemon of this container whether it is ready: healthy.sh VARIABLE, the one that holds the address it listens on.
# (bash alone: the images hold no HTTP client.)
health=${1%LISTEN}HEALTH_LISTEN # where it answers without TLS
listen=${!health:-${!1}}
port=${listen##*:}
exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
path=/readyz
[ "$1" = LAMBDA_LOCAL_LISTEN ] && path=/2015-03-31/functions/
printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' "$path" "$port" >&3
read -r -t 2 _ status _ <&3 || exit 1
# lambda-local has no health page, as AWS has none: that it refuses an unsigned call shows that it serves.
[ "$status" = 200 ] || { [ "$1" = LAMBDA_LOCAL_LISTEN ] && [ "$status" = 403 ]; }
