#!/bin/sh
# Installer of the k3s stand-in, for tests only. Written for cloudimg; it behaves towards its caller as the installer of a k3s
# release does (environment variables, files, modes, order of steps), and it never downloads anything.
set -e
set -o noglob

agent_type=@AGENT_TYPE@

say() { echo "[INFO]  $*"; }
fail() {
    echo "[ERROR]  $*" >&2
    exit 1
}

# quoted WORD: the word as a shell reads it back.
quoted() { printf '%s' "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/"; }

choose_names() {
    command -v systemctl >/dev/null 2>&1 || fail 'Can not find systemd or openrc to use as a process supervisor for k3s'
    [ "$(id -u)" = 0 ] || fail 'the stand-in installs as root only'
    word=$1
    case "$word" in
    -* | '')
        if [ -n "$K3S_URL" ]; then command=agent; else command=server; fi
        ;;
    *)
        command=$word
        shift
        ;;
    esac
    if [ "$command" = agent ] && [ -n "$K3S_URL" ]; then
        [ -n "$K3S_TOKEN$K3S_TOKEN_FILE" ] || fail "Defaulted k3s exec command to 'agent' because K3S_URL is defined, but K3S_TOKEN or K3S_TOKEN_FILE is not defined."
        case "$K3S_URL" in https://*) ;; *) fail "Only https:// URLs are supported for K3S_URL (have $K3S_URL)" ;; esac
    fi
    arguments=
    for argument in "$@"; do arguments="$arguments    $(quoted "$argument") \\
"; done

    if [ -n "$INSTALL_K3S_NAME" ]; then
        service=k3s-$INSTALL_K3S_NAME
    elif [ "$command" = server ]; then
        service=k3s
    else
        service=k3s-$command
    fi
    if [ -n "$INSTALL_K3S_TYPE" ]; then
        type=$INSTALL_K3S_TYPE
    elif [ "$command" = server ]; then
        type=notify
    else
        type=$agent_type
    fi
    bin=${INSTALL_K3S_BIN_DIR:-/usr/local/bin}
    units=${INSTALL_K3S_SYSTEMD_DIR:-/etc/systemd/system}
    unit=$units/$service.service
    env_file=$unit.env
    killall=$bin/${KILLALL_K3S_SH:-k3s-killall.sh}
    uninstall=$bin/${UNINSTALL_K3S_SH:-$service-uninstall.sh}
    if [ "$INSTALL_K3S_BIN_DIR_READ_ONLY" = true ]; then INSTALL_K3S_SKIP_DOWNLOAD=true; fi
}

# The three files whose change means a restart.
fingerprint() { sha256sum "$bin/k3s" "$unit" "$env_file" 2>&1 || true; }

check_binary() {
    case "$INSTALL_K3S_SKIP_DOWNLOAD" in
    true | binary) ;;
    *) fail 'the stand-in never downloads: set INSTALL_K3S_SKIP_DOWNLOAD=true' ;;
    esac
    say 'Skipping k3s download and verify'
    [ -x "$bin/k3s" ] || fail "Executable k3s binary not found at $bin/k3s"
}

make_links() {
    [ "$INSTALL_K3S_BIN_DIR_READ_ONLY" = true ] && return 0
    [ "$INSTALL_K3S_SYMLINK" = skip ] && return 0
    for name in kubectl crictl ctr; do
        if [ "$INSTALL_K3S_SYMLINK" = force ] || { [ ! -e "$bin/$name" ] && ! command -v "$name" >/dev/null 2>&1; }; then
            say "Creating $bin/$name symlink to k3s"
            ln -sf k3s "$bin/$name"
        else
            say "Skipping $bin/$name symlink to k3s, already exists"
        fi
    done
}

# Stops everything that runs, keeps everything that is stored.
write_killall() {
    [ "$INSTALL_K3S_BIN_DIR_READ_ONLY" = true ] && return 0
    say "Creating killall script $killall"
    cat >"$killall" <<'KILLALL'
#!/bin/sh
# Of the k3s stand-in, for tests only.
set -x
for unit in /etc/systemd/system/k3s*.service; do
    [ -s "$unit" ] && systemctl stop "$(basename "$unit")"
done
for link in cni0 flannel.1 flannel-v6.1 kube-ipvs0 flannel-wg flannel-wg-v6; do ip link delete "$link" 2>/dev/null; done
for top in /run/k3s /var/lib/kubelet/pods /var/lib/kubelet/plugins; do
    awk -v top="$top" 'index($2, top) == 1 { print $2 }' /proc/self/mounts | sort -r | while read -r mounted; do
        umount "$mounted" && rm -rf "$mounted"
    done
done
rm -rf /var/lib/cni/ /run/k3s/containerd
exit 0
KILLALL
    chmod 755 "$killall"
}

write_uninstall() {
    [ "$INSTALL_K3S_BIN_DIR_READ_ONLY" = true ] && return 0
    say "Creating uninstall script $uninstall"
    cat >"$uninstall" <<UNINSTALL
#!/bin/sh
# Of the k3s stand-in, for tests only.
set -x
[ "\$(id -u)" -eq 0 ] || exec sudo "\$0" "\$@"
$killall
systemctl disable $service
systemctl reset-failed $service
systemctl daemon-reload
rm -f $unit $env_file
trap 'rm -f $uninstall' EXIT
if ls $units/k3s*.service >/dev/null 2>&1; then
    set +x
    echo 'Additional k3s services installed, skipping uninstall of k3s'
    exit 0
fi
for name in kubectl crictl ctr; do
    if [ -L $bin/\$name ]; then rm -f $bin/\$name; fi
done
rm -rf /etc/rancher/k3s /run/k3s /run/flannel
if mountpoint -q /var/lib/rancher/k3s; then
    find /var/lib/rancher/k3s -xdev -mindepth 1 -delete
else
    rm -rf --one-file-system /var/lib/rancher/k3s
fi
rm -rf --one-file-system /var/lib/kubelet
rm -f $bin/k3s $killall
UNINSTALL
    chmod 755 "$uninstall"
}

# What was there goes before the new comes: a run that is cut in between leaves no unit.
drop_unit() {
    systemctl disable "$service" >/dev/null 2>&1 || true
    rm -f "/etc/systemd/system/$service.service" "/etc/systemd/system/$service.service.env"
}

write_environment() {
    say "env: Creating environment file $env_file"
    (
        umask 077
        : >"$env_file"
    )
    chmod 600 "$env_file"
    for name in $(env | sed -n 's/^\(K3S_[A-Za-z0-9_]*\|CONTAINERD_[A-Za-z0-9_]*\)=.*/\1/p') \
        NO_PROXY HTTP_PROXY HTTPS_PROXY no_proxy http_proxy https_proxy; do
        eval "value=\${$name}"
        # shellcheck disable=SC2154 # set by the line above
        if [ -n "$value" ]; then printf "%s=%s\n" "$name" "$(quoted "$value")" >>"$env_file"; fi
    done
}

write_unit() {
    say "systemd: Creating service file $unit"
    cat >"$unit" <<UNIT
# k3s stand-in, for tests only
[Unit]
Description=Lightweight Kubernetes
Documentation=https://k3s.io
Wants=network-online.target
After=network-online.target

[Install]
WantedBy=multi-user.target

[Service]
Type=$type
EnvironmentFile=-/etc/default/%N
EnvironmentFile=-/etc/sysconfig/%N
EnvironmentFile=-$env_file
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=$bin/k3s \\
    $command \\
$arguments
UNIT
}

enable_and_start() {
    [ "$INSTALL_K3S_SKIP_ENABLE" = true ] && return 0
    say "systemd: Enabling $service unit"
    systemctl enable "$unit"
    systemctl daemon-reload
    [ "$INSTALL_K3S_SKIP_START" = true ] && return 0
    if [ "$before" = "$(fingerprint)" ] && [ "$INSTALL_K3S_FORCE_RESTART" != true ]; then
        say 'No change detected so skipping service start'
        return 0
    fi
    say "systemd: Starting $service"
    systemctl restart "$service"
}

# INSTALL_K3S_EXEC comes first, read as a shell reads words.
eval "set -- $(printf '%s' "$INSTALL_K3S_EXEC" | sed 's/[;&|<>()$`]/\\&/g') $(for given in "$@"; do quoted "$given"; printf ' '; done)"
choose_names "$@"
before=$(fingerprint)
check_binary
make_links
write_killall
write_uninstall
drop_unit
write_environment
write_unit
enable_and_start
