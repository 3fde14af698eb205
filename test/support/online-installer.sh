#!/bin/sh
# Stands in for what https://get.k3s.io answers, for tests only. Own text; it goes the way of upstream's script
# (facts: the order of operations, the variables, the addresses it asks).
set -e
set -o noglob

github=${GITHUB_URL:-https://github.com/k3s-io/k3s/releases}

info() { echo '[INFO] ' "$@"; }
fatal() {
    echo '[ERROR] ' "$@" >&2
    exit 1
}

verify_system() {
    if [ -x /sbin/openrc-run ]; then return; fi
    if [ -x /bin/systemctl ] || type systemctl >/dev/null 2>&1; then return; fi
    fatal 'Can not find systemd or openrc to use as a process supervisor for k3s'
}

setup_env() {
    command=server
    system_name=k3s
    sudo=sudo
    if [ "$(id -u)" -eq 0 ]; then sudo=; fi
    if [ -n "${INSTALL_K3S_BIN_DIR}" ]; then
        bin_dir=${INSTALL_K3S_BIN_DIR}
    else
        bin_dir=/usr/local/bin
        if ! $sudo sh -c "touch ${bin_dir}/k3s-ro-test && rm -rf ${bin_dir}/k3s-ro-test"; then
            if [ -d /opt/bin ]; then bin_dir=/opt/bin; fi
        fi
    fi
    systemd_dir=${INSTALL_K3S_SYSTEMD_DIR:-/etc/systemd/system}
    service_file=$systemd_dir/$system_name.service
    env_file=$systemd_dir/$system_name.service.env
    before=$(hashes)
}

hashes() { $sudo sha256sum "$bin_dir/k3s" "$service_file" "$env_file" 2>&1 || true; }

setup_verify_arch() {
    if [ -z "$ARCH" ]; then ARCH=$(uname -m); fi
    case $ARCH in
    amd64 | x86_64)
        ARCH=amd64
        suffix=
        ;;
    arm64 | aarch64)
        ARCH=arm64
        suffix=-$ARCH
        ;;
    s390x) suffix=-$ARCH ;;
    arm*)
        ARCH=arm
        suffix=-${ARCH}hf
        ;;
    *) fatal "Unsupported architecture $ARCH" ;;
    esac
}

verify_downloader() {
    [ -x "$(command -v "$1")" ] || return 1
    downloader=$1
}

setup_tmp() {
    tmp_dir=$(mktemp -d -t k3s-install.XXXXXXXXXX)
    tmp_hash=$tmp_dir/k3s.hash
    tmp_bin=$tmp_dir/k3s.bin
    cleanup() {
        code=$?
        set +e
        trap - EXIT
        rm -rf "$tmp_dir"
        exit $code
    }
    trap cleanup INT EXIT
}

get_release_version() {
    if [ -n "$INSTALL_K3S_VERSION" ]; then
        version=$INSTALL_K3S_VERSION
    else
        info "Finding release for channel ${INSTALL_K3S_CHANNEL:-stable}"
        url=${INSTALL_K3S_CHANNEL_URL:-https://update.k3s.io/v1-release/channels}/${INSTALL_K3S_CHANNEL:-stable}
        case $downloader in
        curl) version=$(curl -w '%{url_effective}' -L -s -S "$url" -o /dev/null | sed -e 's|.*/||') ;;
        wget) version=$(wget -SqO /dev/null "$url" 2>&1 | grep -i Location | sed -e 's|.*/||') ;;
        esac
        [ -n "$version" ] || fatal 'no version'
    fi
    info "Using $version as release"
}

download() {
    set +e
    case $downloader in
    curl) curl -o "$1" -sfL "$2" ;;
    wget) wget -qO "$1" "$2" ;;
    esac
    [ $? -eq 0 ] || fatal 'Download failed'
    set -e
}

download_hash() {
    url=$github/download/$version/sha256sum-$ARCH.txt
    info "Downloading hash $url"
    download "$tmp_hash" "$url"
    expected=$(grep " k3s$suffix\$" "$tmp_hash")
    expected=${expected%%[[:blank:]]*}
}

installed_hash_matches() {
    [ -x "$bin_dir/k3s" ] || return 1
    installed=$(sha256sum "$bin_dir/k3s")
    [ "$expected" = "${installed%%[[:blank:]]*}" ]
}

download_binary() {
    url=$github/download/$version/k3s$suffix
    info "Downloading binary $url"
    download "$tmp_bin" "$url"
}

verify_binary() {
    info 'Verifying binary download'
    found=$(sha256sum "$tmp_bin")
    [ "$expected" = "${found%%[[:blank:]]*}" ] || fatal "Download sha256 does not match $expected, got ${found%%[[:blank:]]*}"
}

setup_binary() {
    chmod 755 "$tmp_bin"
    info "Installing k3s to $bin_dir/k3s"
    $sudo chown root:root "$tmp_bin"
    $sudo mv -f "$tmp_bin" "$bin_dir/k3s"
}

download_and_verify() {
    if [ "$INSTALL_K3S_SKIP_DOWNLOAD" = true ]; then return; fi
    setup_verify_arch
    verify_downloader curl || verify_downloader wget || fatal 'Can not find curl or wget for downloading files'
    setup_tmp
    get_release_version
    download_hash
    if installed_hash_matches; then
        info 'Skipping binary downloaded, installed k3s matches hash'
        return
    fi
    download_binary
    verify_binary
    setup_binary
}

setup_selinux() {
    [ -d /usr/share/selinux ] || return 0
    [ "$INSTALL_K3S_SKIP_SELINUX_RPM" = true ] || fatal 'the tests want no package of SELinux'
}

create_symlinks() {
    for cmd in kubectl crictl ctr; do
        if [ -e "$bin_dir/$cmd" ] && [ "$INSTALL_K3S_SYMLINK" != force ]; then continue; fi
        if which "$cmd" >/dev/null 2>&1 && [ "$INSTALL_K3S_SYMLINK" != force ]; then
            info "Skipping $bin_dir/$cmd symlink to k3s, command exists in PATH"
        else
            info "Creating $bin_dir/$cmd symlink to k3s"
            $sudo ln -sf k3s "$bin_dir/$cmd"
        fi
    done
}

create_scripts() {
    for name in k3s-killall.sh k3s-uninstall.sh; do
        info "Creating $bin_dir/$name"
        printf '#!/bin/sh\n# stands in for the one of k3s\n' | $sudo tee "$bin_dir/$name" >/dev/null
        $sudo chmod 755 "$bin_dir/$name"
        $sudo chown root:root "$bin_dir/$name"
    done
}

systemd_disable() {
    $sudo systemctl disable $system_name >/dev/null 2>&1 || true
    $sudo rm -f /etc/systemd/system/$system_name.service || true
    $sudo rm -f /etc/systemd/system/$system_name.service.env || true
}

create_files() {
    info "env: Creating environment file $env_file"
    $sudo touch "$env_file"
    $sudo chmod 0600 "$env_file"
    info "systemd: Creating service file $service_file"
    printf '[Service]\nExecStart=%s %s\n' "$bin_dir/k3s" "$command" | $sudo tee "$service_file" >/dev/null
}

service_enable_and_start() {
    [ "$INSTALL_K3S_SKIP_ENABLE" = true ] && return
    info "systemd: Enabling $system_name unit"
    $sudo systemctl enable "$service_file" >/dev/null
    $sudo systemctl daemon-reload >/dev/null
    [ "$INSTALL_K3S_SKIP_START" = true ] && return
    [ "$before" != "$(hashes)" ] && $sudo systemctl restart $system_name
}

eval set -- "$INSTALL_K3S_EXEC" "$@"
verify_system
setup_env "$@"
download_and_verify
setup_selinux
create_symlinks
create_scripts
systemd_disable
create_files
service_enable_and_start
