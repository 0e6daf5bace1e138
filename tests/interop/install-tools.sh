#!/usr/bin/env bash
# The real peers for `make interop`, pinned. Installs only what is missing.
#
# Go programs are built from the public module proxy into a cache folder outside the checkout;
# Debian's packages are installed with apt-get where we are root.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder="${XDG_CACHE_HOME:-$HOME/.cache}/petra/tools"
python="${PYTHON:-.venv/bin/python}"

modules() {
  cat <<'LIST'
crane github.com/google/go-containerregistry/cmd/crane@v0.22.1
cosign github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
helm helm.sh/helm/v3/cmd/helm@v3.22.0
oras oras.land/oras/cmd/oras@v1.3.6
kustomize sigs.k8s.io/kustomize/kustomize/v5@v5.8.1
syft github.com/anchore/syft/cmd/syft@v1.51.0
grype github.com/anchore/grype/cmd/grype@v0.110.0
apiextensions-apiserver k8s.io/apiextensions-apiserver@v0.36.3
conformance github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111
LIST
}

packages() {
  cat <<'LIST'
skopeo skopeo
docker-registry docker-registry
containerd containerd
ctr containerd
etcd etcd-server
zstd zstd
tar tar
openssl openssl
clamscan clamav
chromium chromium
chromedriver chromium-driver
LIST
}

missing() { "$python" -m tests.support.tools | awk '$2 == "missing" { print $1 }'; }

install_packages() {
  local wanted=()
  while read -r tool package; do
    if grep -qx "$tool" <<<"$1"; then wanted+=("$package"); fi
  done < <(packages)
  if [ ${#wanted[@]} -eq 0 ]; then return; fi
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "install these Debian packages (or their like) yourself: ${wanted[*]}" >&2
    return
  fi
  # Only the programs are wanted: no daemon of the machine's own may start with its package.
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    # shellcheck disable=SC2064  # the path as it is now
    trap "rm -f '$policy'" EXIT
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${wanted[@]}"
}

install_modules() {
  local tool module
  while read -r tool module; do
    grep -qx "$tool" <<<"$1" || continue
    if ! command -v go >/dev/null; then
      echo "$tool needs a Go toolchain to be built (or set PETRA_TOOLS_DIR)" >&2
      continue
    fi
    echo "building $tool from $module"
    mkdir -p "$folder"
    local bin
    bin=$(mktemp -d -p "$folder")
    GOBIN="$bin" GOFLAGS= CGO_ENABLED=0 go install -trimpath -ldflags "-s -w" "$module"
    # A major version may name the program: kustomize/v5 gives `kustomize`, one file in any case.
    mv "$bin"/* "$folder/$tool"
    rmdir "$bin"
  done < <(modules)
}

# A registry with the referrers API: a library's, behind ten lines that listen.
install_referrers_registry() {
  grep -qx referrers-registry <<<"$1" || return 0
  if ! command -v go >/dev/null; then
    echo "referrers-registry needs a Go toolchain to be built (or set PETRA_TOOLS_DIR)" >&2
    return
  fi
  echo "building referrers-registry"
  mkdir -p "$folder"
  local bin
  bin=$(mktemp -d -p "$folder")
  (cd tests/interop/referrers_registry &&
    GOFLAGS= CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$bin/referrers-registry" .)
  mv "$bin/referrers-registry" "$folder/referrers-registry"
  rmdir "$bin"
}

lacking=$(missing)
install_packages "$lacking"
install_modules "$lacking"
install_referrers_registry "$lacking"

echo "tools (built ones are kept in $folder):"
"$python" -m tests.support.tools
lacking=$(missing)
if [ -n "$lacking" ]; then
  echo "still missing:" $lacking >&2
  exit 1
fi
