#!/bin/sh
# Before SIGTERM: a master waits until the operator has handed its role over (and demoted it), 60 s at most. A replica,
# or a Redis that says nothing, has nothing to wait for. Anything else it says (-BUSY, for one) leaves it open whether it
# still is the master, so it waits. A stopped process (SIGSTOP, a debugger) would neither answer nor end: it is ended here,
# seconds before the kubelet would do it.
cli=$(command -v valkey-cli || command -v redis-cli)
deadline=$(($(date +%s) + 60))
while [ "$(date +%s)" -lt "$deadline" ]; do
    pid=$(cat /run/redis/server.pid 2>/dev/null)
    case $(sed -n 's/^State:[[:space:]]*//p' "/proc/${pid:-none}/status" 2>/dev/null) in
    [Tt]*) kill -9 "$pid" && exit 0 ;;
    esac
    answer=$(timeout 1 "$cli" </run/redis/ask-role 2>&1)
    case $answer in # as ready.sh does: at SIGTERM Redis writes a snapshot, which counts if the log has been switched off
    *loading:1*) ;;
    *aof_enabled:0*) rm -f /data/started-with-log ;;
    esac
    case $answer in
    *role:slave* | '' | *'Could not connect'*) exit 0 ;;
    esac
    sleep 0.1
done
