#!/bin/sh
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# one-context local    before SSH: environment, host name, keys
# one-context script   with network: START_SCRIPT or START_SCRIPT_BASE64
# Both may run at every boot; what is done already is left alone.

set -u
umask 077
data=/var/lib/one-context
run=/run/one-context

environment_line() {
    printf 'export %s="%s"\n' "$1" "$(printf '%s' "$2" | sed 's/[\\"$`]/\\&/g')"
}

write_environment() {
    mkdir -p "$run"
    (
        # The values of one file become the double-quoted ones of the other.
        . "$data/context.sh"
        names=$(sed -n "s/^\([A-Za-z_][A-Za-z0-9_]*\)='.*/\1/p" "$data/context.sh")
        for name in $names; do
            eval "environment_line $name \"\${$name-}\""
        done
        environment_line TOKENTXT "$(cat "$data/token.txt" 2>/dev/null)"
    ) >"$run/one_env.new" && mv "$run/one_env.new" "$run/one_env"
}

set_host_name() {
    [ -n "${SET_HOSTNAME:-}" ] || return 0
    [ "$(cat /proc/sys/kernel/hostname)" = "$SET_HOSTNAME" ] && return 0
    printf '%s\n' "$SET_HOSTNAME" >/etc/hostname
    hostname "$SET_HOSTNAME"
}

add_ssh_keys() {
    [ -n "${SSH_PUBLIC_KEY:-}" ] || return 0
    ssh=$(getent passwd root | cut -d : -f 6)/.ssh
    mkdir -p "$ssh"
    touch "$ssh/authorized_keys"
    printf '%s\n' "$SSH_PUBLIC_KEY" | while IFS= read -r key; do
        [ -n "$key" ] || continue
        grep -qxF -- "$key" "$ssh/authorized_keys" || printf '%s\n' "$key" >>"$ssh/authorized_keys"
    done
}

make_host_keys() {
    # VMs of one image must not share the host keys that the image may hold. One kind of key is enough for SSH; an RSA
    # key would take up to a second of every first boot.
    [ -e "$data/host-keys" ] && return 0
    command -v ssh-keygen >/dev/null || return 0
    rm -f /etc/ssh/ssh_host_*
    ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key && touch "$data/host-keys"
}

run_script() {
    folder=$(mktemp -d -p /var/tmp)
    if [ -n "${START_SCRIPT_BASE64:-}" ]; then
        printf '%s' "$START_SCRIPT_BASE64" | base64 -d >"$folder/script"
    else
        printf '%s\n' "${START_SCRIPT:-}" >"$folder/script"
    fi
    if [ -s "$folder/script" ] && grep -q '[^[:space:]]' "$folder/script"; then
        chmod 700 "$folder/script"
        cd / && "$folder/script"
        status=$?
        echo "The start script ended with $status."
    fi
    rm -rf "$folder"
    return "${status:-0}"
}

case "${1:-}" in
    local)
        write_environment
        . "$run/one_env"
        set_host_name
        add_ssh_keys
        make_host_keys
        ;;
    script)
        . "$run/one_env"
        umask 022
        run_script
        ;;
    *)
        echo "usage: one-context local|script" >&2
        exit 2
        ;;
esac
