#!/bin/sh
# Starts Redis or Valkey. The password goes from the mounted Secret into files that only this user can read: never into
# the environment or onto a command line, where other processes could see it.
set -eu
umask 077
trap 'exit 143' TERM INT # process 1 ignores what it does not handle: a pod deleted now would stay for its whole grace period
secret=/etc/redis-auth/password
newline='
'

fail() {
    echo "Redis is not started: $1" >&2
    exit 1
}

[ -r "$secret" ] || fail "the password's Secret is not readable at $secret"
[ "$(tr -d '\000' <"$secret" | wc -c)" -eq "$(wc -c <"$secret")" ] || fail "the password in the Secret contains a NUL byte"
password=$(cat "$secret" && echo .) # the dot keeps $() from stripping more than the one newline that may end the file
password=${password%.}
password=${password%"$newline"}
case $password in
'') fail "the password in the Secret is empty" ;;
*"$newline"*) fail "the password in the Secret has several lines; it must be one" ;;
esac

# A container that starts again: the master's Service may lead here for another second, until kube-proxy knows of the new
# master. Refused connections are better than answers from a Redis that has lost its data.
[ ! -e /run/redis/redis.conf ] || sleep 2

# redis.conf and redis-cli quote alike: in double quotes, with a backslash before \ and ".
quoted=$(printf '%s\n' "$password" | LC_ALL=C sed 's/[\\"]/\\&/g')
printf 'requirepass "%s"\nmasterauth "%s"\n' "$quoted" "$quoted" >/run/redis/auth.conf
printf 'AUTH "%s"\nINFO replication\n' "$quoted" >/run/redis/ask-role
printf '%s\n' \
    'include /etc/redis/redis.conf' \
    'include /etc/redis/operator.conf' \
    'include /run/redis/auth.conf' \
    "replica-announce-ip ${POD_IP:?}" >/run/redis/redis.conf

server=$(command -v valkey-server || command -v redis-server) || fail "the image has neither redis-server nor valkey-server"
exec "$server" /run/redis/redis.conf
