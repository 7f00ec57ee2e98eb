# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2034  # the lists are for those who source this
#
# The Debian packages bearerd is built, tried and tested with: the one list that packaging/try, packaging/build-deb and
# tests/run install from. To be sourced.

BUILD_PACKAGES=(
    gcc libc6-dev meson ninja-build pkg-config
    libcurl4-openssl-dev libjson-c-dev libmicrohttpd-dev libssl-dev libsystemd-dev
)

# The stand-in upstream, and what the tour shows.
TRY_PACKAGES=(
    "${BUILD_PACKAGES[@]}"
    ca-certificates curl python3 python3-cryptography
)

# libc6-dbg is what valgrind needs of libc, libclang-rt-dev brings libFuzzer; dbus and systemd are for the boxes of
# tests/systemd, and start nothing here.
TEST_PACKAGES=(
    "${TRY_PACKAGES[@]}"
    clang clang-format dbus git iproute2 libc6-dbg libclang-rt-dev libcmocka-dev mandoc openssl
    python3-pytest python3-pytest-xdist shellcheck systemd util-linux valgrind
)

# Those of Build-Depends in packaging/debian/control, and what dpkg-buildpackage takes for granted.
DEB_PACKAGES=(
    "${BUILD_PACKAGES[@]}"
    build-essential ca-certificates debhelper dpkg-dev libcmocka-dev
)

# What looks at packages, builds those of other distributions, and installs some in a box.
PACKAGING_TEST_PACKAGES=(
    "${DEB_PACKAGES[@]}"
    curl dbus git libarchive-tools lintian makepkg man-db python3-cryptography python3-pytest python3-pytest-xdist rpm systemd
)

BENCH_PACKAGES=(
    "${TRY_PACKAGES[@]}"
    nghttp2-client nginx-light util-linux
)

# packages_missing NAME...: prints those that are not installed, one a line.
packages_missing() {
    local name
    for name in "$@"; do
        dpkg-query -W -f='${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed || echo "$name"
    done
}

# packages_install NAME...: installs those that are missing; says what to do when it may not. Reads no input.
packages_install() {
    local missing
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "This is not Debian: nothing is installed. What Debian calls $* has to be here." >&2
        return 0
    fi
    mapfile -t missing < <(packages_missing "$@")
    if ((${#missing[@]} == 0)); then
        return 0
    fi
    if ((EUID != 0)); then
        echo "Missing packages. As root: apt-get install --no-install-recommends ${missing[*]}" >&2
        return 1
    fi
    echo "Installing ${missing[*]}"
    local -x DEBIAN_FRONTEND=noninteractive
    # A fresh machine may be busy with its own upgrades, and mirrors are out of order at times.
    local patiently=(-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    apt-get -q "${patiently[@]}" update </dev/null &&
        apt-get -q "${patiently[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null
}
