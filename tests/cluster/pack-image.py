#!/usr/bin/env python3
"""Pack a root file system as an image archive that `ctr images import`, `docker load` and `kind load` understand.

The same files give the same archive, byte for byte: names are sorted and times are left out.
"""
import argparse
import hashlib
import io
import json
import os
import platform
import tarfile

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("name", help="the image's name, such as docker.io/library/redis:8.0")
    p.add_argument("rootfs", help="the directory to pack")
    p.add_argument("out", help="the archive to write")
    p.add_argument("--entrypoint", default="", help="comma-separated")
    p.add_argument("--cmd", default="", help="comma-separated")
    p.add_argument("--user", default="", help="who runs it; root if left out")
    p.add_argument("--workdir", default="/")
    p.add_argument("--volume", action="append", default=[], help="a path that is a volume of its own")
    p.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    p.add_argument("--own", action="append", default=[], metavar="PATH=UID:GID", help="who owns a path in the image; else root")
    return p.parse_args()


def words(value):
    return value.split(",") if value else None


def write_layer(args, path):
    owners = {}
    for entry in args.own:
        where, _, who = entry.rpartition("=")
        owners["." + where] = [int(n) for n in who.split(":")]

    def plain(member):
        member.mtime = 0
        member.uid, member.gid = owners.get(member.name, (0, 0))
        member.uname = member.gname = ""
        return member

    with tarfile.open(path, "w") as tar:
        tar.add(args.rootfs, arcname=".", filter=plain)
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def main():
    args = arguments()
    layer, partial = args.out + ".layer", args.out + ".partial"
    digest = write_layer(args, layer)
    config = json.dumps({
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": {
            "Env": [PATH],
            "Entrypoint": words(args.entrypoint),
            "Cmd": words(args.cmd),
            "User": args.user,
            "WorkingDir": args.workdir,
            "Volumes": {v: {} for v in args.volume} or None,
            "Labels": dict(entry.split("=", 1) for entry in args.label) or None,
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]},
        "history": [],
    }).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [args.name], "Layers": [digest + "/layer.tar"]}]).encode()
    with tarfile.open(partial, "w") as tar:
        for name, content in (("manifest.json", manifest), (config_name, config)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        member = tarfile.TarInfo(digest + "/layer.tar")
        member.size = os.path.getsize(layer)
        with open(layer, "rb") as f:
            tar.addfile(member, f)
    os.remove(layer)
    os.replace(partial, args.out)  # a reader never sees half an archive


if __name__ == "__main__":
    main()
