#!/usr/bin/env bash
# Makes an image that stands in for python:*-slim where no image registry can be reached.
#
#   deploy/base.sh [TAG] [SUITE] [MIRROR]
#   deploy/base.sh --sources [SUITE] [MIRROR]    only says where packages would come from
#
# Packages come from where this machine's own apt takes them, by its keys, or from MIRROR. Certificates of
# the machine's own go into the image, credentials never. Needs root, docker and mmdebstrap.
set -euo pipefail

tag=${1:-agentdock-base:local}
suite=${2:-}
mirror=${3:-}
apt=${APT_FOLDER:-/etc/apt}
packages=python3,python3-venv,python3-pip,ca-certificates
bundle=/etc/ssl/certs/ca-certificates.crt

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# shellcheck source=/dev/null
. "${OS_RELEASE:-/etc/os-release}"
if [ "${ID:-}" = ubuntu ] && [ -z "$mirror" ]; then
    fail "Ubuntu has Chromium as a snap only, which no image can hold. Build from Debian, on this machine too:" \
        "  apt-get install debian-archive-keyring" \
        "  deploy/base.sh $tag trixie http://deb.debian.org/debian" \
        "and then make images-offline."
fi
suite=${suite:-${VERSION_CODENAME:-}}
[ -n "$suite" ] || fail "This machine does not say which release it is: deploy/base.sh $tag SUITE [MIRROR]"

sources=()
if [ -z "$mirror" ]; then
    shopt -s nullglob
    known=("$apt"/sources.list "$apt"/sources.list.d/*.{list,sources})
    for file in "${known[@]}"; do
        grep -qsE "^[^#]*\b$suite\b" "$file" && sources+=("$file")
    done
    # Another release than this machine's: from the same mirror.
    [ ${#sources[@]} -gt 0 ] || mirror=$(
        { grep -hsE '^(URIs:|deb )' "${known[@]}" || true; } | grep -oEm1 '[a-z+]+://[^ ]+/debian/?( |$)' || true
    )
fi
if [ ${#sources[@]} -eq 0 ]; then
    [ -n "$mirror" ] || fail "$apt names no mirror that has $suite. Name one: deploy/base.sh $tag $suite MIRROR"
    sources=("deb ${mirror% } $suite main")
fi
if [ "$tag" = --sources ]; then
    printf '%s\n' "${sources[@]}"
    exit
fi

if docker image inspect "$tag" >/dev/null 2>&1; then
    echo "$tag is there"
    exit
fi
command -v mmdebstrap >/dev/null || fail "mmdebstrap is missing: apt-get install mmdebstrap"

# Sources name keys by their path, and the images to be built use the same sources.
hooks=()
for keys in "$apt"/keyrings "$apt"/trusted.gpg.d /usr/share/keyrings; do
    [ -d "$keys" ] && hooks+=("--setup-hook=mkdir -p \"\$1\"$keys && cp -RL $keys/. \"\$1\"$keys")
done
if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
    hooks+=(
        --customize-hook='copy-in /usr/local/share/ca-certificates /usr/local/share'
        --customize-hook='chroot "$1" update-ca-certificates >/dev/null 2>&1'
    )
fi

settings=(-c "CMD [\"python3\"]" -c "ENV LANG=C.UTF-8")
# pip, uv, requests and Node each have certificates of their own, unless they are told.
for name in PIP_CERT SSL_CERT_FILE REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS; do
    settings+=(-c "ENV $name=$bundle")
done

mmdebstrap --quiet --variant=minbase --format=tar --include="$packages" \
    --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    "${hooks[@]}" \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
    "$suite" - "${sources[@]}" | docker import "${settings[@]}" - "$tag" >/dev/null
docker image inspect --format '{{index .RepoTags 0}}: {{.Size}} bytes' "$tag"
