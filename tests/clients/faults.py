#!/usr/bin/env python3
"""faults.py [CLIENT...]: what a change of master rarely shows, between two Redis servers on this machine. A connection falls
silent without being closed (a lost node), and a former master keeps its connections and answers READONLY. Each client must
go on within three seconds, without a loss. Needs redis-server, and setup.sh."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

CACHE = pathlib.Path(os.environ.get("CLIENTS_CACHE", pathlib.Path.home() / ".cache/redis-replication-operator/clients"))
COMMANDS = {
    "jedis": "java -cp target/dependency/* Client.java",
    "lettuce": "java -cp target/dependency/* Client.java",
    "redis-py": "venv/bin/python client.py",
    "node-redis": "node client.js",
    "ioredis": "node client.js",
    "go-redis": "./client",
    "redis-rs": "./client",
}
WITHIN = 3000  # ms; the clients' timeout is 1000


class Service:
    """Leads new connections to `target`, like a Service, and can silence those that it has."""

    def __init__(self, target):
        self.target, self.generation = target, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client = self.listener.accept()[0]
            server = socket.create_connection(("127.0.0.1", self.target))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self.copy, args=(*ends, self.generation), daemon=True).start()

    def copy(self, source, sink, generation):
        try:
            while data := source.recv(65536):
                if generation == self.generation:
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            source.close()
            sink.close()

    def silence(self):
        self.generation += 1


def redis(port, *command):
    return subprocess.run(["redis-cli", "-p", str(port), *command], check=True, capture_output=True, text=True).stdout


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def silent(service, _first, _second):
    service.silence()


def readonly(service, first, second):
    """A switchover that leaves the former master's connections alone."""
    redis(first, "CLIENT", "PAUSE", "2000", "WRITE")
    time.sleep(0.2)
    redis(second, "REPLICAOF", "NO", "ONE")
    service.target = second
    redis(first, "REPLICAOF", "127.0.0.1", str(second))
    redis(first, "CLIENT", "UNPAUSE")


def run(client, fault, wait):
    with tempfile.TemporaryDirectory() as directory:
        first, second = free_port(), free_port()
        processes = [subprocess.Popen(["redis-server", "--port", str(port), "--save", "", "--repl-diskless-sync-delay", "0"],
                                      cwd=directory, stdout=subprocess.DEVNULL) for port in (first, second)]
        try:
            time.sleep(0.5)
            redis(second, "REPLICAOF", "127.0.0.1", str(first))
            while "master_link_status:up" not in redis(second, "INFO", "replication"):
                time.sleep(0.1)
            service = Service(first)
            environment = {**os.environ, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(service.port), "SECONDS": "8", "WAIT": wait}
            environment.pop("REDIS_PASSWORD_FILE", None)
            program = subprocess.Popen(COMMANDS[client].split(), cwd=CACHE / client, env=environment,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            processes.append(program)
            lines = [program.stdout.readline(), program.stdout.readline()]
            fault(service, first, second)
            lines += program.communicate(timeout=30)[0].splitlines()
        except subprocess.TimeoutExpired:
            print(f"FAILED {client:12}{fault.__name__:10}WAIT {wait}  hangs", flush=True)
            return False
        finally:
            for process in processes:
                process.kill()
                process.wait()
    account = json.loads(lines[-1])
    if "lost" not in account:
        print(f"FAILED {client:12}{fault.__name__:10}WAIT {wait}  does not go on: {account}", flush=True)
        return False
    went_on = account["writes"] > json.loads(lines[-2])["writes"]
    good = went_on and account["longestGapMs"] < WITHIN and account["lost"] == 0
    print(f"{'ok' if good else 'FAILED':7}{client:12}{fault.__name__:10}WAIT {wait}  gap {account['longestGapMs']:5} ms  "
          f"writes {account['writes']:5}  errors {account['errors']:3}  lost {account['lost']}", flush=True)
    return good


results = [run(client, fault, wait)
           for client in sys.argv[1:] or COMMANDS for fault in (silent, readonly) for wait in ("0", "1")]
sys.exit(0 if all(results) else 1)
