# shellcheck shell=bash
# The operator's image from the Dockerfile, and, where no registry can be reached, its base images from Debian's packages
# under the names that the Dockerfile uses. Sourced by kind.sh.

operator_image() { # [ARCHIVE] : build $IMAGE, and save it to ARCHIVE
  local base
  for base in $(awk 'toupper($1) == "FROM" {print $2}' "$ROOT/Dockerfile"); do
    docker image inspect "$base" >/dev/null 2>&1 || docker pull -q "$base" 2>/dev/null || base_image "$base"
  done
  buildkit -t "$IMAGE" --build-arg VERSION="$(version)" \
    --build-arg REVISION="$(git -C "$ROOT" rev-parse -q --verify HEAD)" "$ROOT"
  [ -z "${1:-}" ] || docker save -o "$1" "$IMAGE"
}

version() { sed -n 's/^version = "\(.*\)"/\1/p; /^\[dependencies/q' "$ROOT/Cargo.toml"; }

buildkit() { # `docker build` by BuildKit, for the Dockerfile's cache mounts
  if docker buildx version >/dev/null 2>&1; then docker buildx build --load "$@"
  elif [ -x /usr/bin/docker ]; then DOCKER_BUILDKIT=1 /usr/bin/docker build "$@" # Debian's: an engine of 20.10 has it built in
  else DOCKER_BUILDKIT=1 docker build "$@"; fi
}

base_image() { # NAME
  say "$1 cannot be pulled: making it from Debian's packages"
  local r=$OUT/base path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  case $1 in
    rust:*-bookworm) # this machine's Rust, without its documentation
      case $(rustc --version) in "rustc ${1:5:4}."*) ;; *) say "note: this machine's is $(rustc --version)" ;; esac
      debian "$r" minbase gcc,g++,libc6-dev,make,ca-certificates
      local sysroot; sysroot=$(rustc --print sysroot); cp -r "$sysroot"/{bin,lib} "$r/usr/local/"
      # whom this machine trusts: its package registry may be a mirror with an authority of its own
      cp /etc/ssl/certs/ca-certificates.crt "$r/etc/ssl/certs/"
      import "$1" --change "ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:$path" ;;
    gcr.io/distroless/cc-debian12:nonroot)
      debian "$r" extract base-files,netbase,tzdata,ca-certificates,libc6,libgcc-s1
      cat "$r"/usr/share/ca-certificates/mozilla/*.crt >"$r/etc/ssl/certs/ca-certificates.crt"
      printf '%s\n' root:x:0:0::/root:/sbin/nologin nonroot:x:65532:65532::/home/nonroot:/sbin/nologin >"$r/etc/passwd"
      printf '%s\n' root:x:0: nonroot:x:65532: >"$r/etc/group"
      mkdir -p "$r/home/nonroot" "$r/tmp"; chmod 1777 "$r/tmp"
      rm -rf "$r"/var/lib/{dpkg,apt} "$r/usr/share/ca-certificates"
      import "$1" --change 'USER 65532' --change 'WORKDIR /home/nonroot' \
        --change "ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PATH=$path" ;;
    *) say "no recipe for the base image $1"; return 1 ;;
  esac
  rm -rf "$r"
}

import() { tar -C "$r" -c . | docker import "${@:2}" - "$1" >/dev/null; } # NAME CHANGE... : $r as an image
