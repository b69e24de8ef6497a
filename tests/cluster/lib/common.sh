# shellcheck shell=bash
# What every part uses: messages, waiting, one run at a time, and the cluster's processes.

say() { echo "cluster: $*" >&2; }
die() { say "$*"; exit 1; }
await() { # SECONDS COMMAND... : until it succeeds
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || die "gave up waiting for: $*; see $STATE/log"; sleep 0.2; done
}
wait_all() { local job; for job in $(jobs -p); do wait "$job" || exit 1; done; } # for background jobs, failing if one does

locked() { # one run at a time; the daemons must not inherit the lock, so they close it
  mkdir -p "$CACHE"; exec 9>"$CACHE/lock"
  flock -n 9 || { say "waiting for another run of cluster.sh"; flock 9; }
}

# Daemons carry a mark in their environment, and so do the shims that containerd starts. A process is known by its mark
# and never by a recorded number alone: after a reboot that number may be somebody else's.
daemon() { # NAME COMMAND... : unless it runs already
  local name=$1; shift; running "$name" && return
  RRC_DAEMON="$STATE $name" nohup setsid "$@" >>"$STATE/log/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$STATE/log/$name.pid"; disown
}
running() { local pid; pid=$(cat "$STATE/log/$1.pid" 2>/dev/null) && [[ " $(marked "$1") " == *" $pid "* ]]; }
marked() { # [NAME] : the daemon, or all of them, with the shims
  local mark="RRC_DAEMON=$STATE ${1:-}"; [ -z "${1:-}" ] || mark+='$'
  { grep -lzs "^$mark" /proc/[0-9]*/environ || true; } | cut -d/ -f3 | tr '\n' ' '
}
stop() { kill_all "$(marked "$1")"; }
stop_all() { kill_all "$(marked)"; }
kill_all() { # PIDS : and wait until they are gone
  local pid; kill -9 $1 2>/dev/null || true
  for pid in $1; do await 10 gone "$pid"; done
}
gone() { local state; state=$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) || true; [[ -z $state || $state == Z ]]; }
unmount() { # DIRECTORY... : all that is mounted below; the last mounted first
  local d; for d in "$@"; do awk -v d="$d/" 'index($2, d) == 1 {print $2}' /proc/mounts | tac | xargs -r -n1 umount -l 2>/dev/null || true; done
}
