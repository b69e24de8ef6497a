#!/bin/sh
# Readiness: this member is the master (which only the operator can have made it), or follows one. The link is up only
# after the snapshot has been received and loaded.
cli=$(command -v valkey-cli || command -v redis-cli)
answer=$(timeout 2 "$cli" </run/redis/ask-role 2>&1)
# The log has been switched off while Redis ran: from now on a snapshot that is newer counts (data.sh).
case $answer in
*loading:1*) ;;
*aof_enabled:0*) rm -f /data/started-with-log ;;
esac
case $answer in
*role:master* | *master_link_status:up*) exit 0 ;;
*role:slave*) echo "follows no master at present" ;;
*) echo "${answer:-no answer within 2 s}" ;;
esac
exit 1
