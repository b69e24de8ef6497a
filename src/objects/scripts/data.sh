#!/bin/sh
# Sourced by boot.sh: Redis starts with the data that is current, and without persistence with none.
#
# With `appendonly yes` Redis loads the append-only files and nothing else, otherwise dump.rdb and nothing else. After a
# change of the mode the current data is in the other one. Whenever this is interrupted, the next start does the rest: what
# is current is removed only after its successor is on the disk.
dump=/data/dump.rdb
single=/data/appendonly.aof # the whole log of Redis before 7; Redis 7 takes it over
logs=/data/appendonlydir
manifest=$logs/appendonly.aof.manifest
with_log=/data/started-with-log # the last Redis here wrote a log: whatever it left as a snapshot, the log is current. ready.sh
# removes it when the log has been switched off

is_set() { grep -qx "$1" /run/redis/persistence.conf; }

# What a killed process left of a snapshot, a full copy or a rewrite.
rm -f /data/temp-*.rdb /data/temp-*.aof "$logs"/temp-* || echo 'temporary files in /data cannot be removed' >&2

# The log is what the manifest lists; Redis would append to another file of the same name.
remove_unlisted() {
    listed=
    [ ! -e "$manifest" ] || listed=$(cat "$manifest") || fail "$manifest cannot be read"
    for file in "$logs"/appendonly.aof.*; do
        [ "$file" != "$manifest" ] || continue
        case $listed in *"file ${file##*/} "*) ;; *) rm -f "$file" ;; esac
    done
}

remove_log() {
    rm -f "$manifest" # first: without it the rest is no log
    rm -f "$single" "$with_log"
    remove_unlisted
}

# Without that mark (the log was switched off or on while Redis ran) times decide, but not for an empty snapshot: a Redis that reads FLUSHALL in its
# log writes one in the middle of loading.
#
# Was the snapshot begun after the last write to the log? Its modification time says when it was written down, and does so
# on the clock of this node; what it contains is of the time inside it, perhaps on the clock of the master that sent it.
# Within the same second the log counts: it has every write until it was switched off.
snapshot_is_newer() {
    [ ! -e "$with_log" ] || return 1
    bytes=$(head -c 400 "$dump" | od -An -v -tx1 | tr -d ' \n')
    case $bytes in *c000ff????????????????) return 1 ;; esac # the end follows the beginning
    begun=$(echo "$bytes" | sed -n 's/.*056374696d65c2\(..\)\(..\)\(..\)\(..\).*/\4\3\2\1/p') # "ctime", four bytes
    [ -n "$begun" ] || return 1
    files=${log##*/}
    [ "$log" = "$single" ] || files="$files $(sed -n 's/^file \([^ ]*\) seq [0-9]* type [bi].*/\1/p' "$manifest")"
    for file in $files; do
        file=${log%/*}/$file
        [ -e "$file" ] || continue
        [ "$dump" -nt "$file" ] && [ $((0x$begun)) -gt "$(stat -c %Y "$file")" ] || return 1
    done
}

# Makes the snapshot the log's beginning.
log_from_snapshot() {
    echo 'dump.rdb has the current data and becomes the beginning of the append-only file' >&2
    if [ "$old" ]; then
        cp "$dump" /data/temp-appendonly.aof
        sync
        mv /data/temp-appendonly.aof "$single"
    else
        mkdir -p "$logs"
        remove_unlisted
        n=1
        while [ -e "$logs/appendonly.aof.$n.base.rdb" ]; do n=$((n + 1)); done
        base=appendonly.aof.$n.base.rdb
        ln "$dump" "$logs/$base" 2>/dev/null || cp "$dump" "$logs/$base"
        printf 'file %s seq %s type b\n' "$base" "$n" >"$logs/temp-manifest"
        sync
        mv "$logs/temp-manifest" "$manifest"
        sync
        rm -f "$single"
        remove_unlisted
    fi
    rm -f "$dump" # its time may be that of another clock: it must not count as newer again
}

old='' log=$manifest
case $("$server" --version) in
*' v='[0-6].*)
    [ -e "$single" ] || [ ! -e "$manifest" ] ||
        fail "the append-only files are those of Redis 7 or later, which this older one does not read: put the image back"
    old=yes log=$single
    ;;
*) [ -e "$manifest" ] || log=$single ;;
esac

if is_set 'appendonly no' && is_set 'save ""'; then
    remove_log
    rm -f "$dump"
    echo 'rdb-del-sync-files yes' >>/run/redis/redis.conf # a full copy is not kept once it is loaded
elif [ -e "$dump" ] && { [ ! -e "$log" ] || snapshot_is_newer; }; then
    if is_set 'appendonly yes'; then log_from_snapshot; else remove_log; fi
elif [ -e "$log" ]; then
    [ "$log" = "$single" ] || remove_unlisted
    if is_set 'appendonly no'; then
        echo 'the append-only file has the current data and is loaded and goes on' >&2
        echo 'appendonly yes' >>/run/redis/redis.conf
        : >"$with_log"
    fi
fi
if is_set 'appendonly yes'; then : >"$with_log"; fi
