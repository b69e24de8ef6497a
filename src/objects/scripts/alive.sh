#!/bin/sh
# Liveness and start-up: Redis says anything at all. -NOAUTH, -LOADING, -BUSY and a connection closed for lack of room
# (maxclients) all come from a living process. Only silence counts, and the probe waits minutes of it.
cli=$(command -v valkey-cli || command -v redis-cli)
answer=$(timeout 10 "$cli" PING 2>&1)
case $answer in
'') echo "no answer within 10 s" && exit 1 ;;
*'Could not connect'*) echo "$answer" && exit 1 ;;
esac
