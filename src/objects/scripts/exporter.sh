#!/bin/sh
# Writes the password as the exporter wants to read it, a JSON map from address to password, before the containers start:
# the exporter's image has no shell. In memory; readable by this user and the pod's group, to which the exporter belongs.
# Never in the way of Redis: what is wrong with the password, boot.sh says.
umask 027
newline='
'
password=$(cat /etc/redis-auth/password && echo .)
password=${password%.}
password=${password%"$newline"}
quoted=$(printf '%s\n' "$password" | LC_ALL=C sed 's/[\\"]/\\&/g; s/	/\\t/g')
printf '{"redis://127.0.0.1:6379": "%s"}\n' "$quoted" >/run/redis/exporter.json
exit 0
