#!/bin/sh
# k3s stand-in, for tests only. Behind the last line of this script: a JavaScript bundle, then padding.
# As k3s does, it unpacks itself to <data>/data/<hash>/bin and runs from there.
version='@VERSION@' hash='@HASH@' bundle_bytes='@BUNDLE_BYTES@' machine='@MACHINE@'
name=${0##*/}

# Several machines are one pattern (arm*).
# shellcheck disable=SC2254
case "$(uname -m)" in
$machine) ;;
*)
    echo "$0: cannot execute binary file: Exec format error (the stand-in is for $machine)" >&2
    exit 126
    ;;
esac

case "$name $1" in
kubectl\ * | crictl\ * | ctr\ *) ;;
*\ --version | *\ -v)
    printf 'k3s version %s (standin0)\ngo version go1.22.9 stand-in\n' "$version"
    exit 0
    ;;
esac

die() {
    printf 'time="%s" level=fatal msg="%s"\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" >&2
    exit 1
}

data=/var/lib/rancher/k3s
[ "$(id -u)" = 0 ] || data=$HOME/.rancher/k3s
bin=$data/data/$hash/bin

# One temp directory per process, renamed when complete: a cut leaves either nothing or everything under the final name.
unpack() {
    temp=$data/data/.tmp-$$
    rm -rf "$temp"
    mkdir -p "$temp/bin" || die "extracting data: cannot write below $data"
    tail -c +@BUNDLE_OFFSET@ "$1" | head -c "$bundle_bytes" >"$temp/bin/standin.mjs" || die "extracting data: no space left on device"
    [ "$(wc -c <"$temp/bin/standin.mjs")" -eq "$bundle_bytes" ] || die "extracting data: no space left on device"
    cat >"$temp/bin/k3s" <<'LAUNCHER'
#!/bin/sh
# Runs the stand-in's bundle with the host's Node: K3S_STANDIN_NODE, or the first in PATH.
here=${0%/*}
K3S_STANDIN_NAME=${K3S_STANDIN_NAME:-${0##*/}}
export K3S_STANDIN_NAME
node=${K3S_STANDIN_NODE:-$(command -v node || echo /usr/local/bin/node)}
[ -x "$node" ] || {
    echo "k3s stand-in: there is no node in PATH, and none in K3S_STANDIN_NODE" >&2
    exit 127
}
exec "$node" --no-warnings "$here/standin.mjs" "$@"
LAUNCHER
    chmod 755 "$temp/bin/k3s" || die "extracting data: chmod"
    for link in kubectl crictl ctr; do ln -s k3s "$temp/bin/$link" || die "extracting data: no space left on device"; done
    sync "$temp/bin/standin.mjs" "$temp/bin/k3s" 2>/dev/null || sync
    # Another process may have been faster: then its directory stays.
    mv -T "$temp" "$data/data/$hash" 2>/dev/null || rm -rf "$temp"
    ln -sfn "$data/data/$hash" "$data/data/current"
}

self=$0
case "$self" in */*) ;; *) self=$(command -v "$self") ;; esac
[ -e "$bin/k3s" ] || unpack "$self"
# The test of permission fails on a noexec mount, as running it would.
[ -x "$bin/k3s" ] || die "fork/exec $bin/k3s: permission denied"
case "$name" in kubectl | crictl | ctr) K3S_STANDIN_NAME=$name ;; *) K3S_STANDIN_NAME=k3s ;; esac
export K3S_STANDIN_NAME
exec "$bin/k3s" "$@"
exit 127
