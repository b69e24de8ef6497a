#!/bin/sh
# Starts Redis or Valkey. The password goes from the mounted Secret into files that only this user can read: never into
# the environment or onto a command line, where other processes could see it.
set -eu
umask 077
trap 'exit 143' TERM INT # process 1 ignores what it does not handle: a pod deleted now would stay for its whole grace period
secret=/etc/redis-auth/password
own=/run/redis/password
newline='
'

fail() {
    echo "Redis is not started: $1" >&2
    exit 1
}

# The same definition of a password as the operator's (formats/src/password.rs), in the same words.
longest=16384
refuse() { fail "the password in the Secret $1; the status of the RedisReplication says what to do"; }
too_long() { refuse "is longer than $longest bytes, which is the most that Redis takes at a login"; }

[ -r "$secret" ] || fail "the password's Secret is not readable at $secret"
cat "$secret" >"$own.new" # the kubelet may exchange the file meanwhile
size=$(wc -c <"$own.new")
[ "$size" -le $((longest + 1)) ] || too_long
ended=0 more=0
for byte in $(od -An -v -tu1 "$own.new"); do # UTF-8: RFC 3629, section 4
    [ "$ended" -eq 0 ] || refuse 'has several lines'
    if [ "$more" -gt 0 ]; then
        [ "$byte" -ge "$least" ] && [ "$byte" -le "$most" ] || refuse 'is not UTF-8 text'
        more=$((more - 1)) least=128 most=191
        continue
    fi
    least=128 most=191
    case $byte in
    9) ;;
    10) ended=1 ;; # only the last byte may be a line feed
    13) refuse 'contains a carriage return' ;;
    ? | 1? | 2? | 30 | 31) refuse 'contains a control character' ;;
    19[4-9] | 20? | 21? | 22[0-3]) more=1 ;;
    224) more=2 least=160 ;;
    237) more=2 most=159 ;;
    22? | 23?) more=2 ;;
    240) more=3 least=144 ;;
    244) more=3 most=143 ;;
    24[1-3]) more=3 ;;
    *) [ "$byte" -lt 128 ] || refuse 'is not UTF-8 text' ;;
    esac
done
[ "$more" -eq 0 ] || refuse 'is not UTF-8 text'
[ $((size - ended)) -le "$longest" ] || too_long
password=$(cat "$own.new" && echo .) # the dot keeps $() from stripping more than the one line feed that may end the file
password=${password%.}
password=${password%"$newline"}
[ -n "$password" ] || refuse 'is empty'
[ "$password" = "${password#"$(printf '\357\273\277')"}" ] || refuse 'begins with a byte order mark'
mv "$own.new" "$own" # what this Redis is started with, whatever becomes of the Secret

# A container that starts again: the master's Service may lead here for another second, until kube-proxy knows of the new
# master. Refused connections are better than answers from a Redis that has lost its data.
[ ! -e /run/redis/redis.conf ] || sleep 2

cat /etc/redis/persistence.conf >/run/redis/persistence.conf # the kubelet may exchange the file meanwhile

# redis.conf and redis-cli quote alike: in double quotes, with a backslash before \ and ".
quoted=$(printf '%s\n' "$password" | LC_ALL=C sed 's/[\\"]/\\&/g')
printf 'requirepass "%s"\nmasterauth "%s"\n' "$quoted" "$quoted" >/run/redis/auth.conf
printf 'AUTH "%s"\nINFO replication\nINFO persistence\n' "$quoted" >/run/redis/ask-role
printf '%s\n' \
    'include /etc/redis/redis.conf' \
    'include /etc/redis/operator.conf' \
    'include /run/redis/persistence.conf' \
    'include /run/redis/auth.conf' \
    "replica-announce-ip ${POD_IP:?}" >/run/redis/redis.conf

# As the entry point of the official images does from Redis 8 on: the modules that the image brings. Not where the settings say
# something of modules themselves.
if ! grep -qi '^#* *loadmodule' /etc/redis/redis.conf; then
    for module in /usr/local/lib/redis/modules/*.so; do
        [ ! -f "$module" ] || [ ! -s "$module" ] || [ ! -x "$module" ] || echo "loadmodule $module" >>/run/redis/redis.conf
    done
fi

server=$(command -v valkey-server || command -v redis-server) || fail "the image has neither redis-server nor valkey-server"
. /etc/redis/data.sh
exec "$server" /run/redis/redis.conf
