# shellcheck shell=bash
# The Docker engine: the one that runs, or else Debian's, started by hand and taken away again without a trace.

engine() {
  docker info >/dev/null 2>&1 && return
  need docker.io python3 iptables
  docker info >/dev/null 2>&1 && return # installing it may have started it
  mkdir -p "$STATE"; rm -f "$STATE/dockerd.pid" # of before a reboot
  # Where forwarding is off dockerd turns it on and, to be safe, sets the policy of FORWARD to DROP: for everyone on the
  # machine, tests/cluster's nodes among them. With forwarding on it leaves the policy alone.
  as_root sysctl -qw net.ipv4.ip_forward=1
  # the address pool: away from tests/cluster's networks; the runtime: copes with capabilities this machine withholds
  cat >"$STATE/daemon.json" <<J
{"pidfile": "$STATE/dockerd.pid", "default-address-pools": [{"base": "172.30.0.0/16", "size": 24}],
 "default-runtime": "withheld", "runtimes": {"withheld": {"path": "$HERE/runc-withheld"}}}
J
  as_root setsid nohup dockerd --config-file "$STATE/daemon.json" >"$STATE/dockerd.log" 2>&1 </dev/null &
  for _ in $(seq 120); do docker info >/dev/null 2>&1 && return; sleep 0.5; done
  say "dockerd did not start, see $STATE/dockerd.log"; return 1
}

engine_stop() { # only an engine that engine() started; its images stay in /var/lib/docker
  local pid t; pid=$(cat "$STATE/dockerd.pid" 2>/dev/null) || return 0
  if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]; then # and not somebody else's number, after a reboot
    docker network rm kind >/dev/null 2>&1 || true # its bridge would outlive the engine
    as_root kill "$pid"
  fi
  for _ in $(seq 120); do [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || break; sleep 0.25; done
  # dockerd leaves docker0, its chains and the rules that lead to them behind
  as_root ip link del docker0 2>/dev/null || true
  for t in nat filter; do
    as_root iptables-save -t $t | grep -v -e DOCKER -e docker0 -e '172\.30\.' | as_root iptables-restore -w -T $t
  done
  # and its control groups and sockets
  as_root find /sys/fs/cgroup -depth -type d \( -path '*/docker' -o -path '*/docker/*' \) -exec rmdir {} + 2>/dev/null || true
  as_root rm -rf /run/docker
  rm -f "$STATE"/{dockerd.pid,daemon.json}
}
