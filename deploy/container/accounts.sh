# Makes the images' users, and the data folders with the owners and modes that a new volume takes over. Run while building.
set -e
groupadd -g 10000 orchestrator
useradd -u 10001 -g 10000 -M -d /nonexistent -s /usr/sbin/nologin managerd
useradd -u 10002 -g 10000 -M -d /nonexistent -s /usr/sbin/nologin proxyd
groupadd -g 10003 lambda-local
useradd -u 10003 -g 10003 -M -d /nonexistent -s /usr/sbin/nologin lambda-local
data=/var/lib/app-orchestrator
install -d -m 0755 "$data"
# Readable by proxyd; new files inherit the group. Only managerd can make or replace files.
install -d -m 2750 -o managerd -g orchestrator "$data/routes" "$data/secrets"
# managerd's alone.
install -d -m 0700 -o managerd -g orchestrator "$data/state" "$data/keys" "$data/packages" "$data/token"
install -d -m 0700 -o lambda-local -g lambda-local "$data/lambda-local"
