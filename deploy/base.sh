#!/usr/bin/env bash
# Makes an image that stands in for python:*-slim where no image registry can be reached.
#
#   deploy/base.sh [TAG] [SUITE]
#
# Packages come from where this machine's own apt takes them, by its keys. What else it needs to get out
# (certificates of its own, pip's index) goes into the image. Needs root, docker and mmdebstrap.
set -euo pipefail

tag=${1:-agentdock-base:local}
suite=${2:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
packages=python3,python3-venv,python3-pip,ca-certificates
bundle=/etc/ssl/certs/ca-certificates.crt

if docker image inspect "$tag" >/dev/null 2>&1; then
    echo "$tag is there"
    exit
fi
if ! command -v mmdebstrap >/dev/null; then
    echo "mmdebstrap is missing: apt-get install mmdebstrap" >&2
    exit 1
fi

sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/{debian,ubuntu}.sources; do
    [ -s "$file" ] && sources+=("$file")
done
# Another suite than this machine's: from the same mirror.
if ! grep -qsw "$suite" "${sources[@]}"; then
    mirror=$(grep -hE '^(URIs:|deb )' "${sources[@]}" | grep -oEm1 'https?://[^ ]+')
    sources=("deb $mirror $suite main")
fi

certificates=()
if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
    certificates=(
        --customize-hook='copy-in /usr/local/share/ca-certificates /usr/local/share'
        --customize-hook='chroot "$1" update-ca-certificates >/dev/null 2>&1'
    )
fi

settings=(-c "CMD [\"python3\"]" -c "ENV LANG=C.UTF-8")
# pip, uv, requests and Node each have certificates of their own, unless they are told.
for name in PIP_CERT SSL_CERT_FILE REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS; do
    settings+=(-c "ENV $name=$bundle")
done
for name in PIP_INDEX_URL PIP_TRUSTED_HOST UV_INDEX_URL; do
    [ -z "${!name:-}" ] || settings+=(-c "ENV $name=${!name}")
done

mmdebstrap --quiet --variant=minbase --format=tar --include="$packages" \
    --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    "${certificates[@]}" \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
    "$suite" - "${sources[@]}" | docker import "${settings[@]}" - "$tag" >/dev/null
docker image inspect --format '{{index .RepoTags 0}}: {{.Size}} bytes' "$tag"
