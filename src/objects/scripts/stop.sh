#!/bin/sh
# Before SIGTERM: a master waits until the operator has handed its role over (and demoted it), 60 s at most. A replica,
# or a Redis that says nothing, has nothing to wait for. Anything else it says (-BUSY, for one) leaves it open whether it
# still is the master, so it waits.
cli=$(command -v valkey-cli || command -v redis-cli)
deadline=$(($(date +%s) + 60))
while [ "$(date +%s)" -lt "$deadline" ]; do
    case $(timeout 1 "$cli" </run/redis/ask-role 2>&1) in
    *role:slave* | '' | *'Could not connect'*) exit 0 ;;
    esac
    sleep 0.1
done
